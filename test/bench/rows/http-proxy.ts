// The http-proxy package alone, with an agent that keeps its connections and Node's default heap.
import { join } from 'node:path'
import { answers } from '../upstream.ts'
import { PROXY_CORE } from '../workbench.ts'
import type { Row } from './row.ts'

const SERVER = join(import.meta.dirname, '../servers/http-proxy.ts')

export const httpProxy: Row = {
  name: 'http-proxy',
  start: async (bench, upstream) => {
    const port = await bench.port()
    const origin = `http://127.0.0.1:${port}`
    const started = bench.start('http-proxy', PROXY_CORE, process.execPath, [SERVER, String(port), `http://${upstream.address}`])
    await bench.ready(started, () => answers(`${origin}/`, {}))
    return { origin, headers: {}, script: null, pids: [started.pid] }
  },
}
