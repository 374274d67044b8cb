// Plain nginx `proxy_pass` for calls of tools, of which it reads nothing.
import { PROXY_CORE } from '../workbench.ts'
import type { Row } from './row.ts'
import { answersCall, CALL } from './tool-call.ts'

const NAME = 'nginx-mcp'

export const nginxMcp: Row = {
  name: NAME,
  start: async (bench, upstream) => {
    const address = `127.0.0.1:${await bench.port()}`
    const origin = `http://${address}`
    const started = bench.startNginx(NAME, PROXY_CORE, 'nginx.conf', { LISTEN: address, UPSTREAM: upstream.address })
    await bench.ready(started, () => answersCall(origin, {}))
    return { origin, ...CALL, pids: [started.pid] }
  },
}
