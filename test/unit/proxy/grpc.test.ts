// What the gateway says and reads of gRPC by itself: content types, statuses, details as a real decoder reads them, deadlines.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Grant } from '../../../src/core/decision.ts'
import { type Reason, REASON_WORDS, REASONS } from '../../../src/core/reason.ts'
import { duration, instant } from '../../../src/core/time.ts'
import type { Exchange } from '../../../src/enforcement/exchange.ts'
import { isGrpc } from '../../../src/proxy/grpc/content-type.ts'
import { finallyLeft, isCall, withDeadline } from '../../../src/proxy/grpc/deadline.ts'
import { grpcCode, grpcTrailers } from '../../../src/proxy/grpc/refusal.ts'
import { refusalText } from '../../../src/proxy/refusal.ts'
import { readDetails } from '../../support/grpc-echo.ts'

describe('the content type', () => {
  test.each(['application/grpc', 'application/grpc+proto', 'application/grpc+json', 'Application/GRPC', 'application/grpc; charset=utf-8', 'application/grpc ;a=b'])('[WIRE17] %s is gRPC', type => {
    expect(isGrpc(type)).toBe(true)
  })
  test.each(['', 'application/grpc-web', 'application/grpc-web+proto', 'application/grpcx', 'application/json', 'text/application/grpc', ' application/grpc'])('[WIRE17] "%s" is not', type => {
    expect(isGrpc(type)).toBe(false)
  })
  test('[WIRE17] a call is gRPC over HTTP/2 with one content type', () => {
    const headers = ['host', 'a', 'content-type', 'application/grpc']
    expect(isCall({ protocol: 'http2', headers })).toBe(true)
    expect(isCall({ protocol: 'http1', headers })).toBe(false)
    expect(isCall({ protocol: 'http2', headers: [...headers, 'content-type', 'application/grpc'] })).toBe(false)
    expect(isCall({ protocol: 'http2', headers: ['host', 'a'] })).toBe(false)
  })
})

/** Names and values as a map. */
const told = (flat: readonly string[]): ReadonlyMap<string, string> => new Map(flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1] ?? '']] : [])))
const detailsIn = (flat: readonly string[]): ReturnType<typeof readDetails> => readDetails(Buffer.from(told(flat).get('grpc-status-details-bin') ?? '', 'base64'))

/** By the gateway's promise, in the words of gRPC. */
const EXPECTED: { readonly [status: number]: number } = { 400: 13, 401: 16, 403: 7, 404: 12, 405: 12, 408: 4, 409: 9, 413: 8, 417: 13, 421: 14, 425: 14, 429: 8, 431: 8, 500: 13, 501: 12, 502: 14, 503: 14, 504: 14, 508: 13 }
const OTHERS: { readonly [R in Reason]?: number } = { limit_reached: 8, upstream_malformed: 13, revoked: 16 }

describe('a refusal', () => {
  test.each(REASON_WORDS)('[WIRE17, DEC6] %s has its status, its sentence, and details that an ordinary decoder reads', reason => {
    const text = refusalText(reason, { session: 'ses_a' })
    const trailers = grpcTrailers(reason, text)
    expect(grpcCode(reason)).toBe(OTHERS[reason] ?? EXPECTED[REASONS[reason].status])
    expect(told(trailers).get('grpc-status')).toBe(String(grpcCode(reason)))
    expect(told(trailers).get('grpc-message')).toBe(REASONS[reason].says)
    expect(detailsIn(trailers)).toEqual({ code: grpcCode(reason), message: REASONS[reason].says, reason, domain: 'narrowgate', told: { evaluation_id: text.evaluation, session: 'ses_a' } })
  })

  test('[WIRE17] for good is never UNAVAILABLE, which clients send again by themselves', () => {
    const again = REASON_WORDS.filter(reason => grpcCode(reason) === 14).filter(reason => ![421, 425, 502, 503, 504].includes(REASONS[reason].status))
    expect(again).toEqual([])
  })

  test('[WIRE17] tells nobody\'s session and evaluation where it is told without them, and what may be asked for where it is', () => {
    expect(detailsIn(grpcTrailers('narrowed', null)).told).toEqual({})
    const access = { endpoint: '/.narrowgate/elevations', template: { profile: 'writer', purpose: {} }, expires_at: null, offers: [{ profile: 'writer', purpose: ['ticket'], approval: 'none' }] } as const
    const { told: map } = detailsIn(grpcTrailers('elevation_required', refusalText('elevation_required', { access })))
    expect(JSON.parse(map['access_request'] ?? '')).toEqual(access)
  })

  test('[WIRE17] any sentence is percent-encoded in the trailer, so that it decodes to itself, and stands in the details as it is', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme', maxLength: 400 }), detail => {
      const trailers = grpcTrailers('bad_request', refusalText('bad_request', { detail }))
      const message = told(trailers).get('grpc-message') ?? ''
      expect(message).toMatch(/^[\x20-\x24\x26-\x7e%]*$/)
      expect(decodeURIComponent(message)).toBe(detail)
      expect(detailsIn(trailers).message).toBe(detail)
      expect(told(trailers).get('grpc-status-details-bin')).toMatch(/^[A-Za-z0-9+/]*$/)
    }))
  })
})

const timeoutIn = (headers: readonly string[]): string | undefined => told(headers).get('grpc-timeout')
const asks = (timeout: string): readonly string[] => ['host', 'a', 'grpc-timeout', timeout, 'te', 'trailers']

describe('a deadline', () => {
  test.each([['7S', 7_000], ['7S', 8_000], ['1H', Infinity], ['99999999n', 100], ['500u', 1]])('[WIRE17] %s stays as it is where %d ms are left', (timeout, left) => {
    expect(withDeadline(asks(timeout), left)).toEqual(asks(timeout))
  })
  test.each([['7S', 6_999, '6999m'], ['2H', 1_000, '1000m'], ['3M', 0, '0m'], ['1H', -5, '0m'], ['1H', 10.2, '11m'], ['99999999H', 200_000_000, '200000S']])('[WIRE17] %s is lowered where %d ms are left: %s', (timeout, left, lowered) => {
    expect(withDeadline(asks(timeout), left)).toEqual(asks(lowered))
  })
  test.each(['', '7', 'S', '7 S', '123456789S', '-1S', '7s', '0x1S', '1S,2S'])('[WIRE17] "%s" is no deadline, and gives way to one', timeout => {
    expect(timeoutIn(withDeadline(asks(timeout), 5_000))).toBe('5000m')
  })
  test('[WIRE17] is not made up where the right may go on, and is there where it may not', () => {
    const headers = ['host', 'a']
    expect(withDeadline(headers, Infinity)).toBe(headers)
    expect(timeoutIn(withDeadline(headers, 1_234))).toBe('1234m')
  })
  test('[WIRE17] as lowered is never longer than what is left, rounded up, nor than what was asked for', () => {
    const SECONDS: { readonly [unit: string]: number } = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 }
    const read = (text: string): number => parseInt(text, 10) * (SECONDS[text.at(-1) ?? ''] ?? NaN)
    fc.assert(fc.property(fc.integer({ min: 0, max: 99_999_999 }), fc.constantFrom('H', 'M', 'S', 'm', 'u', 'n'), fc.double({ min: 0, max: 1e9, noNaN: true }), (digits, unit, left) => {
      const asked = `${digits}${unit}`
      const given = timeoutIn(withDeadline(asks(asked), left)) ?? ''
      expect(given).toMatch(/^\d{1,8}[HMSmun]$/)
      expect(read(given)).toBeLessThanOrEqual(Math.max(read(asked) <= left ? read(asked) : 0, left > 99_999_999 ? left + 1_000 : left + 1))
    }))
  })
})

describe('what is left of a right for good', () => {
  const [since, until, now] = [instant(1_000), instant(61_000), instant(11_000)]
  const elevated = (max: number, ends = until): Grant => ({ is: 'elevation', elevation: { max: duration(max), state: { is: 'active', since, until: ends } } }) as unknown as Grant // what is read of one
  const exchange = (grant: Grant, live: number | null): Exchange => ({ permit: { grant, until }, live: live === null ? null : { record: { endsAt: instant(live) } } }) as unknown as Exchange // as above

  test('[WIRE17] is the elevation\'s rest where it cannot be extended', () => {
    expect(finallyLeft(exchange(elevated(60_000), 999_000), now)).toBe(50_000)
    expect(finallyLeft(exchange(elevated(60_000), 999_000), instant(99_000))).toBe(0)
  })
  test('[WIRE17] is nothing that is known where it can, or where something ends before it that can be renewed', () => {
    expect(finallyLeft(exchange(elevated(60_001), 999_000), now)).toBe(Infinity)
    expect(finallyLeft(exchange(elevated(120_000, instant(121_000)), 999_000), now)).toBe(Infinity)
    expect(finallyLeft(exchange({ is: 'baseline' } as unknown as Grant, 999_000), now)).toBe(Infinity) // what is read of one
    expect(finallyLeft(exchange({ is: 'baseline' } as unknown as Grant, null), now)).toBe(Infinity) // as above
  })
  test('[WIRE17] is the session\'s rest where that ends first', () => {
    expect(finallyLeft(exchange({ is: 'baseline' } as unknown as Grant, 61_000), now)).toBe(50_000) // what is read of one
  })
})
