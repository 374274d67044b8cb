// The API behind every proxy of the bench: nginx with a constant answer, on the load generator's core.
import { closeSync, ftruncateSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { resultOf } from './rows/tool-call.ts'
import { LOAD_CORE, type Workbench } from './workbench.ts'

/** 105 bytes of JSON. */
export const ANSWER = '{"id":42,"name":"an answer of one hundred and five bytes","state":"open","items":[1,2,3,4,5,6],"ok":true}'
export const LARGE_BYTES = 100 * 2 ** 20

/** `host:port` */
export type Upstream = { readonly address: string }

/** Does this address answer like the upstream? */
export async function answers(url: string, headers: { readonly [name: string]: string }): Promise<boolean> {
  const response = await fetch(url, { headers: { ...headers, connection: 'close' }, signal: AbortSignal.timeout(2_000) })
  const body = await response.text()
  return response.status === 200 && body === ANSWER
}

export async function startUpstream(bench: Workbench): Promise<Upstream> {
  const prefix = bench.folder('upstream')
  mkdirSync(join(prefix, 'files'))
  const large = openSync(join(prefix, 'files', 'large'), 'w', 0o644)
  ftruncateSync(large, LARGE_BYTES)
  closeSync(large)
  const address = `127.0.0.1:${await bench.port()}`
  const nginx = bench.startNginx('upstream', LOAD_CORE, 'upstream.conf', { LISTEN: address, ANSWER, RESULT: resultOf('$http_x_bench_call') }, prefix)
  await bench.ready(nginx, () => answers(`http://${address}/`, {}))
  return { address }
}
