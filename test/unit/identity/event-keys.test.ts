// Keys of those who tell of events: where their metadata says, asked for with bounds, and never called unknown on an old word.
import { errors } from 'jose'
import { afterEach, beforeAll, expect, test, vi } from 'vitest'
import { instant } from '../../../src/core/time.ts'
import { EventKeys, openidKeys } from '../../../src/identity/event-keys.ts'
import { KeysUnavailable } from '../../../src/identity/keys.ts'
import type { HttpAsk } from '../../../src/runtime/http-client.ts'
import { TokenIssuer } from '../../support/token-issuer.ts'

let issuer: TokenIssuer
afterEach(() => { vi.useRealTimers() })
beforeAll(async () => { issuer = await TokenIssuer.create() })

const TOKEN = { payload: '', signature: '' }
const header = (kid: string) => ({ alg: 'EdDSA', kid })

function world() {
  const state = { elapsed: 0, down: false, keys: issuer.jwks() as unknown, metadata: {} as unknown, asked: [] as string[], ca: [] as (string | null)[], noticed: 0 }
  const tools = {
    clock: { now: () => instant(0), elapsed: () => state.elapsed },
    notice: () => { state.noticed++ },
    http: {
      ask: (url: URL, { ca }: HttpAsk) => {
        state.asked.push(url.href)
        state.ca.push(ca)
        return state.down ? Promise.reject(new Error('down')) : Promise.resolve({ status: 200, etag: null, type: null, text: JSON.stringify(url.pathname === '/keys' ? state.keys : state.metadata) })
      },
    },
  }
  return { state, tools }
}
const PLACE = new URL('https://idp.example/keys')

test('[SSF2] keys are fetched once, over connections that trust what was configured', async () => {
  const { state, tools } = world()
  const keys = new EventKeys(() => Promise.resolve(PLACE), tools, 'PEM')
  for (const _ of [1, 2]) expect(await keys.find(header('key-1'), TOKEN)).toBeDefined()
  expect(state).toMatchObject({ asked: [PLACE.href], ca: ['PEM'], noticed: 0 })
})

test('[SSF2] a key that was not among those just fetched is unknown; among those fetched before it may be new', async () => {
  const { state, tools } = world()
  vi.useFakeTimers({ toFake: ['Date'] }) // by which jose knows how old keys are
  const keys = new EventKeys(() => Promise.resolve(PLACE), tools, null)
  await expect(keys.find(header('key-9'), TOKEN)).rejects.toThrow(errors.JWKSNoMatchingKey)
  state.elapsed += 1_000
  await expect(keys.find(header('key-9'), TOKEN)).rejects.toThrow(KeysUnavailable)
  expect(state.asked).toHaveLength(1)
  state.elapsed += 30_000
  vi.advanceTimersByTime(31_000)
  await expect(keys.find(header('key-9'), TOKEN)).rejects.toThrow(errors.JWKSNoMatchingKey)
  expect(state.asked).toHaveLength(2)
})

test('[SSF2] where its keys are is asked each time, and others are fetched where that has moved', async () => {
  const { state, tools } = world()
  let place = PLACE
  const keys = new EventKeys(() => Promise.resolve(place), tools, null)
  await keys.find(header('key-1'), TOKEN)
  place = new URL('https://moved.example/keys')
  await keys.find(header('key-1'), TOKEN)
  expect(state.asked).toEqual([PLACE.href, 'https://moved.example/keys'])
})

test('[SSF2] where nobody knows where its keys are, nobody is asked again for a moment, and it is told once', async () => {
  const { state, tools } = world()
  let asked = 0
  const keys = new EventKeys(() => {
    asked++
    return Promise.reject(new Error('down'))
  }, tools, null)
  for (const _ of [1, 2, 3]) await expect(keys.find(header('key-1'), TOKEN)).rejects.toThrow(KeysUnavailable)
  expect({ asked, noticed: state.noticed }).toEqual({ asked: 1, noticed: 1 })
  state.elapsed += 5_001
  await expect(keys.find(header('key-1'), TOKEN)).rejects.toThrow(KeysUnavailable)
  expect(asked).toBe(2)
})

test('[LGO2] of an identity provider they are where its discovery says, under its own name only, for an hour', async () => {
  const { state, tools } = world()
  state.metadata = { issuer: 'https://idp.example/one', jwks_uri: PLACE.href }
  const keys = openidKeys('https://idp.example/one', tools)
  for (const _ of [1, 2]) await keys.find(header('key-1'), TOKEN)
  expect(state.asked).toEqual(['https://idp.example/one/.well-known/openid-configuration', PLACE.href])
  state.elapsed += 61 * 60_000
  await keys.find(header('key-1'), TOKEN)
  expect(state.asked.slice(2)).toEqual(['https://idp.example/one/.well-known/openid-configuration', PLACE.href])
  state.metadata = { issuer: 'https://other.example', jwks_uri: PLACE.href }
  await expect(openidKeys('https://idp.example/one', tools).find(header('key-1'), TOKEN)).rejects.toThrow(KeysUnavailable)
})

test('[LGO2] keys are fetched from no place that is less safe than the issuer', async () => {
  const { state, tools } = world()
  state.metadata = { issuer: 'https://idp.example', jwks_uri: 'http://idp.example/keys' }
  await expect(openidKeys('https://idp.example', tools).find(header('key-1'), TOKEN)).rejects.toThrow(KeysUnavailable)
  expect(state.asked).toEqual(['https://idp.example/.well-known/openid-configuration'])
})
