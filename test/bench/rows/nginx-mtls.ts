// nginx `proxy_pass` behind `ssl_verify_client on`: what the gateway with client certificates is compared with.
import { answers } from '../upstream.ts'
import { PROXY_CORE } from '../workbench.ts'
import { makeCertificates, startCallers, statusForStranger } from './certified-callers.ts'
import type { Row } from './row.ts'

const NAME = 'nginx-mtls'

export const nginxMtls: Row = {
  name: NAME,
  start: async (bench, upstream) => {
    const [certificates, port] = [await makeCertificates(), await bench.port()]
    const { server, clientCaFile } = certificates
    const values = { LISTEN: `127.0.0.1:${port}`, UPSTREAM: upstream.address, CERT: server.certFile, KEY: server.keyFile, CLIENTS: clientCaFile }
    const started = bench.startNginx(NAME, PROXY_CORE, 'nginx-mtls.conf', values)
    const origin = await startCallers(bench, NAME, port, certificates)
    await bench.ready(started, () => answers(`${origin}/`, {}))
    if ((await statusForStranger(port, certificates, {})) !== 400) throw new Error(`${NAME} lets everybody through`)
    return { origin, headers: {}, script: null, pids: [started.pid] }
  },
}
