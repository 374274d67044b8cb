// The gateway for callers who are known by the client certificates of their connections, which are kept: no handshake is part of a request.
import { CALLER_NAME, makeCertificates, startCallers, statusForStranger } from './certified-callers.ts'
import { letIn, startGateway, TICKETED } from './gateway.ts'
import type { Row } from './row.ts'

const NAME = 'narrowgate-mtls'

/** @param profileDir as in `GatewayPlan` */
export const narrowgateMtls = (profileDir: string | null): Row => ({
  name: NAME,
  start: async (bench, upstream) => {
    const certificates = await makeCertificates()
    const { server: { certFile, keyFile }, clientCaFile } = certificates
    const tls = { certFile, keyFile, clients: { caFile: clientCaFile } }
    const gateway = await startGateway(bench, upstream, { name: NAME, serves: 'http', provider: { mtls: { subjects: [`CN=${CALLER_NAME}`] } }, tls, profileDir })
    const origin = await startCallers(bench, NAME, gateway.port, certificates)
    await letIn(gateway, origin, () => ({}))
    if ((await statusForStranger(gateway.port, certificates, TICKETED)) !== 401) throw new Error(`${NAME} lets everybody through`)
    return { origin, headers: TICKETED, script: null, pids: [gateway.pid] }
  },
})
