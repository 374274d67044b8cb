// Tokens for a transmitter: used until shortly before their end, replaced once where one is refused, asked for as the standard has it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { duration } from '../../../../../src/core/time.ts'
import { HttpClient } from '../../../../../src/runtime/http-client.ts'
import { SecretFileError } from '../../../../../src/runtime/secret-file.ts'
import { Access, Caller, type OpenAccess, tokenIn } from '../../../../../src/signals/ssf/streams/access.ts'
import { SsfTransmitter } from '../../../../support/ssf-transmitter.ts'
import { SetClock } from '../../../sessions/world.ts'

const LIMITS = { timeout: duration(5_000), bytes: 10_000 }
const NEVER = new AbortController().signal
let transmitter: SsfTransmitter
let http: HttpClient
let clock: SetClock
let directory: string
beforeEach(async () => {
  transmitter = await SsfTransmitter.start()
  http = new HttpClient()
  clock = new SetClock()
  directory = mkdtempSync(join(tmpdir(), 'ng-ssf-'))
})
afterEach(async () => {
  await http.close()
  await transmitter.close()
  rmSync(directory, { recursive: true })
})

const caller = (open: OpenAccess): Caller => new Caller(new Access(open, { http, clock, ca: null }), { http, clock, ca: null })
const client = (): OpenAccess => ({ is: 'oauth', tokenUrl: new URL(`${transmitter.origin}/token`), clientId: 'a client:ä', clientSecret: 'p+s s', scope: 'ssf.read' })
const ask = (by: Caller): Promise<unknown> => by.ask({ method: 'GET', url: new URL(`${transmitter.origin}/streams`), body: null, statuses: [200] }, LIMITS, NEVER)
const shown = (): readonly string[] => transmitter.askedFor('/streams').map(({ authorization, status }) => `${authorization} ${status}`)

test('[SSF8] a token is asked for by the client, once for everybody, and used until shortly before its end', async () => {
  const by = caller(client())
  await Promise.all([ask(by), ask(by)])
  clock.pass(3_569_000)
  await ask(by)
  expect(shown()).toEqual(['Bearer token-1 200', 'Bearer token-1 200', 'Bearer token-1 200'])
  clock.pass(1_001)
  await ask(by)
  expect(shown().at(-1)).toBe('Bearer token-2 200')
  const [asked] = transmitter.askedFor('/token')
  expect(Buffer.from(String(asked?.authorization.slice(6)), 'base64').toString()).toBe('a+client%3A%C3%A4:p%2Bs+s')
  expect(asked?.body).toEqual({ text: 'grant_type=client_credentials&scope=ssf.read' })
})

test('[SSF8] one that is refused is replaced, once; a second refusal is the answer', async () => {
  const by = caller(client())
  transmitter.conduct.unauthorized = 1
  await ask(by)
  expect(shown()).toEqual(['Bearer token-1 401', 'Bearer token-2 200'])
  transmitter.conduct.unauthorized = 2
  await expect(ask(by)).rejects.toMatchObject({ status: 401 })
  expect(shown().slice(2)).toEqual(['Bearer token-2 401', 'Bearer token-3 401'])
  await ask(by)
  expect(shown().at(-1)).toBe('Bearer token-4 200')
})

test('[SSF8] a token of a file is read again where it was refused', async () => {
  const file = join(directory, 'token')
  writeFileSync(file, 'first\n')
  const by = caller({ is: 'token', file, token: await tokenIn(file) })
  await ask(by)
  writeFileSync(file, 'second\n')
  await ask(by)
  transmitter.conduct.unauthorized = 1
  await ask(by)
  expect(shown()).toEqual(['Bearer first 200', 'Bearer first 200', 'Bearer first 401', 'Bearer second 200'])
  writeFileSync(file, 'two words\n')
  await expect(tokenIn(file)).rejects.toThrow(SecretFileError)
})

test.each([
  ['another kind', { access_token: 'x', token_type: 'DPoP', expires_in: 60 }],
  ['none', { token_type: 'Bearer' }],
  ['more than one line', { access_token: 'x\r\ny: z', token_type: 'Bearer' }],
])('[SSF8] a grant of %s is none', async (_, grant) => {
  transmitter.conduct.grant = grant
  await expect(ask(caller(client()))).rejects.toThrow('no bearer token')
  expect(shown()).toEqual([])
})

test('[SSF8] without access nothing is sent along, and a refusal is the answer', async () => {
  transmitter.conduct.unauthorized = 1
  await expect(ask(caller({ is: 'none' }))).rejects.toMatchObject({ status: 401 })
  expect(shown()).toEqual([' 401'])
})
