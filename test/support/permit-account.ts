// What an upstream was asked, held against the Permits that a gateway's trail has. For tests only.
import { queryDigest } from '../../src/audit/record.ts'
import type { TestGateway } from './gateway.ts'
import { pathOf } from './hostile-upstream.ts'

type Asked = { readonly method: string; readonly url: string }

const keyOf = ({ method, url }: Asked): string => JSON.stringify([method, pathOf(url), queryDigest(url.includes('?') ? url.slice(url.indexOf('?')) : '')])

/** What was asked, less what the trail has a Permit for, each Permit once. */
export async function unpermitted(gate: TestGateway, asked: readonly Asked[]): Promise<readonly string[]> {
  const permits = new Map<string, number>()
  for (const line of await gate.trail()) {
    if (line['kind'] !== 'exchange.opened' || line['decision'] !== 'permit' || line['session'] === null) continue
    const key = JSON.stringify([line['method'], line['path'], line['queryDigest']])
    permits.set(key, (permits.get(key) ?? 0) + 1)
  }
  return asked.filter(one => {
    const left = permits.get(keyOf(one)) ?? 0
    permits.set(keyOf(one), left - 1)
    return left <= 0
  }).map(({ method, url }) => `${method} ${url}`)
}
