// Plain nginx `proxy_pass`: what every other row is compared with.
import { answers } from '../upstream.ts'
import { PROXY_CORE } from '../workbench.ts'
import type { Row } from './row.ts'

export const nginx: Row = {
  name: 'nginx',
  start: async (bench, upstream) => {
    const address = `127.0.0.1:${await bench.port()}`
    const origin = `http://${address}`
    const started = bench.startNginx('nginx', PROXY_CORE, 'nginx.conf', { LISTEN: address, UPSTREAM: upstream.address })
    await bench.ready(started, () => answers(`${origin}/`, {}))
    return { origin, headers: {}, script: null, pids: [started.pid] }
  },
}
