// Where a shard's master is: slots as the cluster computes them, and an error that says of every node why it could not tell. SPEC: STO17
import { once } from 'node:events'
import { createServer } from 'node:net'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Access, LinkLost } from '../../../../src/sessions/redis/link.ts'
import { locator, slotOf } from '../../../../src/sessions/redis/locator.ts'

const ACCESS: Access = { username: null, password: null, database: 0, tls: null, connectTimeout: 500, commandTimeout: 500 }
const SENTINEL = { master: 'main', username: null, passwordFile: null }

/** A port on which nobody listens. */
async function deadPort(): Promise<number> {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return address === null || typeof address === 'string' ? 0 : address.port
}

test('[STO17] slots are those of the cluster specification', () => {
  expect(slotOf('123456789')).toBe(0x31c3 % 16384)
  expect(['', 'foo', 'bar', 'hello', 'somekey', 'hash_tag'].map(slotOf)).toEqual([0, 12182, 5061, 866, 11058, 2515])
})

test('[STO17] a slot is the remainder by x¹⁶ + x¹² + x⁵ + 1 of any text', () => {
  const remainder = (text: string): number => {
    let rest = BigInt(`0x0${Buffer.from(text).toString('hex')}`) << 16n
    for (let bits = rest.toString(2).length; bits > 16; bits = rest.toString(2).length) rest ^= 0x11021n << BigInt(bits - 17)
    return Number(rest) % 16384
  }
  fc.assert(fc.property(fc.string({ unit: 'grapheme', maxLength: 20 }), text => {
    expect(slotOf(text)).toBe(remainder(text))
  }))
})

test('[STO17] the sixteen shards of a cluster lie in different slots', () => {
  expect(new Set(Array.from({ length: 16 }, (_, shard) => slotOf(String(shard)))).size).toBe(16)
})

test('[STO17] a single server is where the configuration says, for every shard', async () => {
  const locate = locator({ mode: 'single', nodes: [{ host: 'redis.test', port: 6380 }], sentinel: null }, ACCESS, ACCESS)
  expect([await locate(0), await locate(3)]).toEqual([{ host: 'redis.test', port: 6380 }, { host: 'redis.test', port: 6380 }])
  await expect(locator({ mode: 'single', nodes: [], sentinel: null }, ACCESS, ACCESS)(0)).rejects.toMatchObject({ code: 'misconfigured' })
})

test.each([['sentinel', SENTINEL], ['cluster', null]] as const)('[STO17] in mode %s nodes that do not answer are all named, and it is tried again', async (mode, sentinel) => {
  const nodes = [{ host: '127.0.0.1', port: await deadPort() }, { host: '127.0.0.1', port: await deadPort() }]
  const locate = locator({ mode, nodes, sentinel }, ACCESS, ACCESS)
  const fault: unknown = await locate(0).catch((error: unknown) => error)
  expect(fault).toBeInstanceOf(LinkLost)
  for (const { port } of nodes) expect(String(fault)).toContain(`127.0.0.1:${port} `)
})
