// What a caller reads for every reason there is, through a real socket.
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Reason, REASON_WORDS, REASONS } from '../../../src/core/reason.ts'
import { type RefusalText, refusalText } from '../../../src/proxy/refusal.ts'
import { TestListener } from '../../support/http2-listener.ts'

let server: TestListener
let text: RefusalText = refusalText('bad_request')
let close = false

beforeAll(async () => { server = await TestListener.start({ protocols: ['http1'], onRequest: ({ answer }) => answer.refuse(text, 0, close) }) })
afterAll(() => server.stop())

type Read = { readonly status: number; readonly headers: IncomingMessage['headers']; readonly body: string }

async function told(shown: RefusalText, { method = 'GET', closing = false } = {}): Promise<Read> {
  text = shown
  close = closing
  const sent = request({ port: server.port, host: '127.0.0.1', method, agent: false })
  sent.end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage] // what `response` hands over
  let body = ''
  for await (const chunk of response) body += String(chunk)
  return { status: response.statusCode ?? 0, headers: response.headers, body }
}

const CHALLENGE: { readonly [C in (typeof REASONS)[Reason]['challenge']]: RegExp | null } = {
  none: null, bearer: /^Bearer realm="narrowgate"$/, invalid_token: /^Bearer realm="narrowgate", error="invalid_token", error_description="[^"\\]+"$/, insufficient_scope: /^Bearer realm="narrowgate", error="insufficient_scope"$/,
  insufficient_user_authentication: /^Bearer realm="narrowgate", error="insufficient_user_authentication", error_description="[^"\\]+"$/,
}

describe('every reason', () => {
  test.each(REASON_WORDS)('[WIRE9, DEC6] %s is problem+json with its own status, sentence and challenge', async reason => {
    const row = REASONS[reason]
    const { status, headers, body } = await told(refusalText(reason, { session: 'ses_a' }))
    expect(status).toBe(row.status)
    expect(headers).toMatchObject({ 'content-type': 'application/problem+json', 'cache-control': 'no-store', 'content-length': String(Buffer.byteLength(body)) })
    const { evaluation_id: evaluation, ...rest } = JSON.parse(body) as Record<string, unknown>
    expect(rest).toEqual({ type: `urn:narrowgate:reason:${reason}`, title: reason.replaceAll('_', ' '), status: row.status, detail: row.says, reason, session: 'ses_a' })
    expect(evaluation).toMatch(/^[a-z]+_[a-z2-7]{26}$/)
    const wanted = CHALLENGE[row.challenge]
    if (wanted === null) expect(headers['www-authenticate']).toBeUndefined()
    else expect(headers['www-authenticate']).toMatch(wanted)
    expect(headers['retry-after']).toBe(row.status === 503 ? '1' : undefined)
    expect(headers.connection).toBe('close') // the test's own request asked for it
  })

  test.each(REASON_WORDS)('[WIRE9] %s tells an unauthorized caller how, and nobody else', reason => {
    const { status, challenge } = REASONS[reason]
    expect(challenge !== 'none').toBe(status === 401 || reason === 'elevation_required')
    expect(status).toBeGreaterThanOrEqual(400)
    expect(status).toBeLessThan(600)
  })
})

test('[WIRE9] what may be asked for is told where there is an offer, and the session only where it is its own', async () => {
  const access = { endpoint: '/.narrowgate/elevations', template: { profile: 'writer', purpose: { ticket: 'T-1' } }, expires_at: null, offers: [{ profile: 'writer', purpose: ['ticket'], approval: 'required' }, { profile: 'root', purpose: [], approval: 'none' }] } as const
  const { body } = await told(refusalText('elevation_required', { access }))
  const parsed = JSON.parse(body) as Record<string, unknown>
  expect(parsed['access_request']).toEqual(access)
  expect(parsed).not.toHaveProperty('session')
  expect((await told(refusalText('elevation_required'))).headers['www-authenticate']).toBe('Bearer realm="narrowgate", error="insufficient_scope"')
})

test('[WIRE9] a sentence for people takes the place of the general one', async () => {
  expect(JSON.parse((await told(refusalText('bad_request', { detail: 'the path holds dot segments' }))).body)).toMatchObject({ detail: 'the path holds dot segments', reason: 'bad_request' })
})

test('[WIRE8] the answer to HEAD has the head of a refusal and no body', async () => {
  for (const closing of [false, true]) {
    const { status, headers, body } = await told(refusalText('no_route'), { method: 'HEAD', closing })
    expect([status, body]).toEqual([404, ''])
    expect(Number(headers['content-length'])).toBeGreaterThan(50)
  }
})

test('[WIRE9] two refusals of one reason are told apart by their evaluation', () => {
  expect(refusalText('locked').evaluation).not.toBe(refusalText('locked').evaluation)
})
