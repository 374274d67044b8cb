// What a gateway owes of itself: loops, last forwards, early data, preflights, methods.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isCommonMethod, methodFault } from '../../../src/core/method.ts'
import { pathPattern } from '../../../src/core/path-pattern.ts'
import { type Cors, firstRule, type Route, type Rule } from '../../../src/core/route.ts'
import { duration } from '../../../src/core/time.ts'
import { corsHeaders, isPreflight, preflight } from '../../../src/proxy/http/cors.ts'
import { isTooEarly } from '../../../src/proxy/http/early-data.ts'
import { forwardsLeft, LAST_FORWARD } from '../../../src/proxy/http/max-forwards.ts'
import { loops, viaOf } from '../../../src/proxy/http/via.ts'
import { PLAIN_ROUTE, PLAIN_RULE } from '../../support/plain.ts'

describe('Via', () => {
  const via = viaOf('gw_abcdefghijklmnopqrstuvwxyz')
  const [own, other] = ['1.1 narrowgate-abcdef', viaOf('gw_bbbbbbbbbb').entries['1.1']]

  test('[WIRE22] names this gateway, in the version that came', () => {
    expect(via).toEqual({ pseudonym: 'narrowgate-abcdef', entries: { '1.0': '1.0 narrowgate-abcdef', '1.1': own, '2': '2 narrowgate-abcdef' } })
    expect(viaOf('plain').pseudonym).toBe('narrowgate-plain')
  })

  test('[WIRE22] a request that came through here more than three times is in a loop, however many others are between', () => {
    expect([null, '', '1.1 fred', other, Array.from({ length: 50 }, () => other).join(', ')].map(value => loops(via, value))).toEqual([false, false, false, false, false])
    fc.assert(fc.property(fc.array(fc.constantFrom(own, '1.1 NarrowGate-ABCDEF', '2 narrowgate-abcdef (x, y)', other, '1.0 p', ''), { maxLength: 12 }), entries => {
      expect(loops(via, entries.join(', '))).toBe(entries.filter(entry => entry.toLowerCase().includes('narrowgate-abcdef')).length > 3)
    }))
  })
})

describe('Max-Forwards', () => {
  test('[WIRE22] counts on OPTIONS alone', () => {
    expect(['0', '1', '999999999'].map(value => forwardsLeft('OPTIONS', value))).toEqual([0, 1, 999_999_999])
    expect([forwardsLeft('OPTIONS', null), forwardsLeft('GET', '0'), forwardsLeft('GET', 'x'), forwardsLeft('options', '0')]).toEqual([null, null, null, null])
    for (const value of ['', '-1', '1.5', ' 1', '1, 1', '0x1', '1'.repeat(10), '١']) expect(forwardsLeft('OPTIONS', value), value).toBe('malformed')
  })

  test('[WIRE19] the last one tells what any rule could name, and nothing of the rules', () => {
    const allow = LAST_FORWARD[LAST_FORWARD.indexOf('allow') + 1] ?? ''
    for (const method of allow.split(', ')) expect(methodFault(method), method).toBeNull()
  })
})

test('[AZ-018, WIRE22] early data that could do something, or stands on an elevation, comes again behind the handshake', () => {
  for (const method of ['GET', 'HEAD', 'OPTIONS']) expect([isTooEarly(true, method, false), isTooEarly(true, method, true), isTooEarly(false, method, true)]).toEqual([false, true, false])
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'QUERY', 'get', 'LOCK']) expect([isTooEarly(true, method, false), isTooEarly(false, method, false)]).toEqual([true, false])
})

const rule = (changes: Partial<Rule> = {}): Rule => ({ name: 'r', effect: 'allow', methods: null, paths: null, upgrade: null, anonymous: false, scope: null, condition: null, messages: null, requireAuth: null, ...PLAIN_RULE, ...changes })
const CORS: Cors = { origins: ['https://app.test', 'https://other.test:8443'], headers: ['authorization', 'content-type'], maxAge: duration(600_000), credentials: false, exposed: ['www-authenticate', 'dpop-nonce'] }
const routeWith = (rules: readonly Rule[]): Route => ({
  name: 'api', host: { is: 'any' }, path: pathPattern('/**'), upstream: 'api', authn: [], mode: 'enforce', staleness: duration(0), encodedSlash: 'reject', upstreamFolds: { case: false, params: false }, cors: CORS, rewrite: null, tenant: null, ...PLAIN_ROUTE, rules,
})
const target = (path: string) => ({ host: 'api.test', path, segments: path.slice(1).split('/'), query: '' })

describe('methods', () => {
  test('[WIRE19] are common, registered, never forwarded or unknown; case is part of them', () => {
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) expect([methodFault(method), isCommonMethod(method)]).toEqual([null, true])
    for (const method of ['QUERY', 'PROPFIND', 'MKCOL', 'REPORT', 'VERSION-CONTROL']) expect([methodFault(method), isCommonMethod(method)]).toEqual([null, false])
    for (const method of ['TRACE', 'CONNECT']) expect(methodFault(method)).toBe('method_refused')
    for (const method of ['', 'get', 'Get', 'FOO', 'PRI', 'PURGE', 'GET ', 'TRACK', 'DEBUG', 'constructor', '__proto__']) expect(methodFault(method), method).toBe('unsupported_method')
  })

  test('[WIRE19] one that is not common is let in by no rule but the one that names it, and kept out by any denial', () => {
    const meets = (rules: readonly Rule[], method: string) => firstRule(routeWith(rules), { method, upgrade: null, call: null }, ['a'])?.name ?? null
    const [open, named, deny] = [rule({ name: 'open' }), rule({ name: 'named', methods: new Set(['QUERY']) }), rule({ name: 'deny', effect: 'deny' })]
    expect([meets([open], 'GET'), meets([open], 'QUERY'), meets([open, named], 'QUERY'), meets([named], 'GET'), meets([deny, named], 'QUERY'), meets([rule({ methods: new Set(['GET']) })], 'QUERY')]).toEqual(['open', null, 'named', null, 'deny', null])
  })
})

describe('pages of other origins', () => {
  const ask = (origin: string | null, asksForMethod: string | null) => ({ origin, asksForMethod })

  test('[WIRE19] a preflight is OPTIONS with an origin and the method it asks for', () => {
    expect(isPreflight('OPTIONS', ask('https://app.test', 'PUT'))).toBe(true)
    for (const [method, origin, wanted] of [['GET', 'https://app.test', 'PUT'], ['OPTIONS', null, 'PUT'], ['OPTIONS', 'https://app.test', null], ['options', 'https://app.test', 'PUT']] as const) expect(isPreflight(method, ask(origin, wanted))).toBe(false)
  })

  test('[WIRE19] answers for a method that a rule lets in at this path', () => {
    const route = routeWith([rule({ methods: new Set(['PUT']), paths: [pathPattern('/items/*')] })])
    expect(preflight(route, CORS, target('/items/1'), ask('https://app.test', 'PUT'))).toEqual({
      is: 'allowed', headers: ['access-control-allow-origin', 'https://app.test', 'vary', 'origin', 'access-control-allow-methods', 'PUT', 'access-control-allow-headers', 'authorization, content-type', 'access-control-max-age', '600'],
    })
    expect(preflight(route, CORS, target('/other'), ask('https://app.test', 'PUT'))).toEqual({ is: 'refused', reason: 'no_rule' })
    expect(preflight(route, CORS, target('/items/1'), ask('https://app.test', 'DELETE'))).toEqual({ is: 'refused', reason: 'no_rule' })
  })

  test('[WIRE19] refuses a denied, unknown or never forwarded method and an origin that is not named', () => {
    const route = routeWith([rule({ effect: 'deny', methods: new Set(['DELETE']) }), rule(), rule({ methods: new Set(['FOO', 'TRACE']) }), rule({ upgrade: 'websocket', methods: new Set(['GET']) })])
    const reasonOf = (origin: string, method: string) => {
      const answer = preflight(route, CORS, target('/a'), ask(origin, method))
      return answer.is === 'refused' ? answer.reason : null
    }
    expect([reasonOf('https://app.test', 'DELETE'), reasonOf('https://app.test', 'FOO'), reasonOf('https://app.test', 'TRACE'), reasonOf('https://app.test', 'QUERY'), reasonOf('https://app.test', 'put')]).toEqual(['denied', 'no_rule', 'no_rule', 'no_rule', 'no_rule'])
    for (const origin of ['https://evil.test', 'null', '', '*', 'https://app.test.evil', 'http://app.test', 'https://APP.test', 'https://app.test/', 'https://app.test:443']) expect(reasonOf(origin, 'PUT'), origin).toBe('origin_refused')
  })

  test('[WIRE19] an answer is readable for the named origins alone, and says that it differs by origin', () => {
    const exposed = ['access-control-expose-headers', 'www-authenticate, dpop-nonce']
    expect(corsHeaders(CORS, 'https://other.test:8443')).toEqual(['access-control-allow-origin', 'https://other.test:8443', ...exposed, 'vary', 'origin'])
    for (const origin of [null, 'https://evil.test', '*', 'null']) expect(corsHeaders(CORS, origin)).toEqual(['vary', 'origin'])
    expect(corsHeaders({ ...CORS, credentials: true }, 'https://app.test')).toEqual(['access-control-allow-origin', 'https://app.test', 'access-control-allow-credentials', 'true', ...exposed, 'vary', 'origin'])
  })

  test('[WIRE19] where no header is named a page may set none', () => {
    expect(preflight(routeWith([rule()]), { ...CORS, headers: [] }, target('/a'), ask('https://app.test', 'GET'))).toEqual({ is: 'allowed', headers: ['access-control-allow-origin', 'https://app.test', 'vary', 'origin', 'access-control-allow-methods', 'GET', 'access-control-max-age', '600'] })
  })

  test('[WIRE19] no text of a caller gets into a preflight’s answer but a named origin and a known method', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.constantFrom('https://app.test', '*')), fc.oneof(fc.string(), fc.constantFrom('GET', 'PUT', 'PUT\r\nx: y')), (origin, method) => {
      const answer = preflight(routeWith([rule()]), CORS, target('/a'), ask(origin, method))
      if (answer.is === 'allowed') expect([CORS.origins.includes(origin), methodFault(method)]).toEqual([true, null])
    }))
  })
})
