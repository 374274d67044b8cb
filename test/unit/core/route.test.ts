// Which route and which rule a request meets, against a matcher that looks at all of them; and which paths an upstream may read otherwise.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Evaluation, Target } from '../../../src/core/evaluation.ts'
import { pathPattern } from '../../../src/core/path-pattern.ts'
import { firstRule, type HostPattern, isAmbiguous, placeOf, type Route, routeOf, type Rule, routeTable } from '../../../src/core/route.ts'
import { duration } from '../../../src/core/time.ts'
import { PLAIN_ROUTE, PLAIN_RULE } from '../../support/plain.ts'

const GET: Evaluation['action'] = { method: 'GET', upgrade: null, call: null }
const target = (host: string, path: string): Target => ({ host, path, segments: path.slice(1).split('/'), query: '' })

const rule = (changes: Partial<Rule> & { readonly path?: string | null } = {}): Rule => {
  const { path = null, ...rest } = changes
  return { name: `r:${path ?? 'any'}`, effect: 'allow', methods: null, paths: path === null ? null : [pathPattern(path)], upgrade: null, anonymous: false, scope: null, condition: null, messages: null, requireAuth: null, ...PLAIN_RULE, ...rest }
}
const hostOf = (host: string | null): HostPattern => (host === null ? { is: 'any' } : host.startsWith('*') ? { is: 'suffix', suffix: host.slice(1) } : { is: 'exact', host })
const route = (name: string, host: string | null, path = '/**', rules: readonly Rule[] = [rule()], folds = { case: true, params: true }): Route =>
  ({ name, host: hostOf(host), path: pathPattern(path), upstream: 'api', authn: ['login'], mode: 'enforce', staleness: duration(0), encodedSlash: 'reject', upstreamFolds: folds, cors: null, rewrite: null, tenant: null, ...PLAIN_ROUTE, rules })

/** The name of what was found. */
const met = (routes: readonly Route[], host: string, path: string): string => {
  const found = routeOf(routeTable(routes), target(host, path))
  return typeof found === 'string' ? found : found.name
}

// ---- a matcher that looks at all of them

const expression = (source: string): RegExp => {
  const segments = source.slice(1).split('/').filter(segment => segment !== '')
  const tail = segments.at(-1) === '**'
  return new RegExp(`^${(tail ? segments.slice(0, -1) : segments).map(segment => (segment === '*' ? '/[^/]+' : `/${segment}`)).join('')}${tail ? '(?:/.*)?' : '/?'}$`)
}
const rank = ({ path: { source } }: Route): readonly number[] => {
  const segments = source.slice(1).split('/').filter(segment => segment !== '')
  const open = segments.findIndex(segment => segment.startsWith('*'))
  return [(open === -1 ? segments : segments.slice(0, open)).join('/').length + (open === -1 ? segments.length > 0 ? 1 : 0 : open > 0 ? 1 : 0), segments.filter(segment => !segment.startsWith('*')).length, source.endsWith('**') ? 0 : 1]
}
const hostRank = ({ host }: Route, of: string): number =>
  host.is === 'exact' ? (host.host === of ? 1_000 : -1) : host.is === 'suffix' ? (of.endsWith(host.suffix) && of !== host.suffix ? host.suffix.length : -1) : 0

/** Every route that is as good as the best. */
function best(routes: readonly Route[], host: string, path: string): readonly Route[] | 'no_route' | 'wrong_host' {
  const top = Math.max(...routes.map(each => hostRank(each, host)))
  if (top < 0) return 'wrong_host'
  const fitting = routes.filter(each => hostRank(each, host) === top && expression(each.path.source).test(path))
  const ranks = fitting.map(each => rank(each).map(n => String(n).padStart(4, '0')).join())
  const highest = [...ranks].sort().at(-1)
  return highest === undefined ? 'no_route' : fitting.filter((_, i) => ranks[i] === highest)
}

const anyHost = fc.constantFrom(null, 'api.test', '*.test', '*.api.test', 'other.test', '*.x')
const anySource = fc.tuple(fc.array(fc.constantFrom('a', 'b', '*'), { maxLength: 3 }), fc.boolean()).map(([segments, tail]) => `/${[...segments, ...(tail ? ['**'] : [])].join('/')}`)
const anyPath = fc.tuple(fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 4 }), fc.boolean()).map(([segments, slash]) => (segments.length === 0 ? '/' : `/${segments.join('/')}${slash ? '/' : ''}`))

describe('the route', () => {
  test('[DEC2, DEC4] is the best of all that fit: host first, then the longer literal prefix, then more literals, then the exact path', () => {
    const seen = new Map<string, number>()
    fc.assert(fc.property(fc.array(fc.tuple(anyHost, anySource), { minLength: 1, maxLength: 6 }), fc.constantFrom('api.test', 'a.api.test', 'b.a.api.test', 'other.test', 'x', 'a.x', '.test'), anyPath, (specs, host, path) => {
      const routes = specs.map(([on, source], i) => route(`n${i}`, on, source))
      const wanted = best(routes, host, path)
      const found = routeOf(routeTable(routes), target(host, path))
      const kind = typeof wanted === 'string' ? wanted : 'found'
      seen.set(kind, (seen.get(kind) ?? 0) + 1)
      if (typeof wanted === 'string') expect(found).toBe(wanted)
      else expect(wanted).toContain(found)
    }), { numRuns: 10_000 })
    for (const kind of ['found', 'no_route', 'wrong_host']) expect(seen.get(kind) ?? 0, kind).toBeGreaterThan(200)
  })

  test('[DEC2] does not depend on the order in which routes were written', () => {
    fc.assert(fc.property(fc.uniqueArray(fc.tuple(anyHost, anySource), { minLength: 1, maxLength: 6, selector: ([host, source]) => `${String(host)}${source}` }), fc.constantFrom('api.test', 'a.api.test'), anyPath, (specs, host, path) => {
      const routes = specs.map(([on, source], i) => route(`n${i}`, on, source))
      const wanted = best(routes, host, path)
      if (typeof wanted !== 'string' && wanted.length > 1) return // a tie, which no configuration has
      expect(met(routes.toReversed(), host, path)).toBe(met(routes, host, path))
    }))
  })

  test('[DEC2] there is no falling through to another one', () => {
    const routes = [route('exact', 'api.test', '/v1/**'), route('suffix', '*.test'), route('any', null)]
    expect([met(routes, 'api.test', '/v1/x'), met(routes, 'api.test', '/v2'), met(routes, 'b.test', '/v2'), met(routes, 'b.x', '/v2')]).toEqual(['exact', 'no_route', 'suffix', 'any'])
    expect(met(routes.slice(0, 2), 'b.x', '/v2')).toBe('wrong_host')
    expect(met(routes, 'test', '/')).toBe('any')
  })

  test('[DEC4] the longer suffix before the shorter', () => {
    const routes = [route('short', '*.test'), route('long', '*.api.test')]
    expect([met(routes, 'x.api.test', '/'), met(routes, 'api.test', '/'), met(routes, 'x.y.api.test', '/')]).toEqual(['long', 'short', 'long'])
  })
})

describe('the rule', () => {
  const anyRule = fc.record({ effect: fc.constantFrom('allow' as const, 'deny' as const), methods: fc.constantFrom<readonly string[] | null>(null, ['GET'], ['POST', 'PUT'], ['HEAD']), path: fc.option(anySource, { nil: null }), upgrade: fc.constantFrom(null, null, 'websocket') })
  const anyAction = fc.record({ call: fc.constant(null), method: fc.constantFrom('GET', 'HEAD', 'POST', 'DELETE', 'get'), upgrade: fc.constantFrom(null, null, 'websocket', 'h2c', '') })

  test('[DEC2] is the first whose selector matches: methods, paths and upgrade', () => {
    let found = 0
    fc.assert(fc.property(fc.array(anyRule, { maxLength: 6 }), anyAction, anyPath, (specs, action, path) => {
      const rules = specs.map(({ effect, methods, path: source, upgrade }, i) => rule({ name: `r${i}`, effect, methods: methods === null ? null : new Set(methods), path: source, upgrade }))
      const wanted = specs.findIndex(({ effect, methods, path: source, upgrade }) => {
        const method = methods === null ? effect === 'deny' || action.method !== 'get' : methods.includes(action.method) || (action.method === 'HEAD' && methods.includes('GET'))
        const upgrades = upgrade === action.upgrade || (effect === 'deny' && upgrade === null)
        return method && upgrades && (source === null || expression(source).test(path))
      })
      if (wanted >= 0) found++
      expect(firstRule(route('n', 'api.test', '/**', rules), action, target('api.test', path).segments)?.name ?? null).toBe(wanted === -1 ? null : `r${wanted}`)
    }), { numRuns: 5_000 })
    expect(found).toBeGreaterThan(500)
  })

  test('[DEC2] an upgrade is never covered by a rule that does not name it, but denied by one that names nothing', () => {
    const upgrade = { method: 'GET', upgrade: 'websocket', call: null }
    const on = (...rules: readonly Rule[]): string | null => firstRule(route('n', 'api.test', '/**', rules), upgrade, ['a'])?.name ?? null
    expect(on(rule({ name: 'plain' }))).toBeNull()
    expect(on(rule({ name: 'ws', upgrade: 'websocket' }))).toBe('ws')
    expect(on(rule({ name: 'deny', effect: 'deny' }), rule({ name: 'ws', upgrade: 'websocket' }))).toBe('deny')
  })

  test('[DEC3] a place has the parameters of the route and of the rule', () => {
    const own = route('n', 'api.test', '/t/{tenant}/**', [rule({ path: '/t/{tenant}/users/{user}' }), rule()])
    expect({ ...placeOf(own, GET, target('api.test', '/t/acme/users/7')).params }).toEqual({ tenant: 'acme', user: '7' })
    expect({ ...placeOf(own, GET, target('api.test', '/t/acme')).params }).toEqual({ tenant: 'acme' })
    expect(placeOf(route('n', 'api.test', '/**', [rule({ path: '/a' })]), GET, target('api.test', '/b')).rule).toBeNull()
  })
})

describe('paths an upstream may read as another', () => {
  type Folds = Route['upstreamFolds']
  const ambiguous = (rules: readonly Rule[], path: string, folds: Folds = { case: true, params: true }, others: readonly Route[] = []): boolean => {
    const own = route('own', 'api.test', '/**', rules, folds)
    return isAmbiguous(routeTable([own, ...others]), placeOf(own, GET, target('api.test', path)), GET, target('api.test', path))
  }
  const GUARDED = [rule({ path: '/admin/**', scope: 'admin' }), rule()]

  test.each([
    ['/ADMIN/x', true], ['/Admin', true], ['/admin;x/y', true], ['/;a=b/admin', true], ['/;/;/admin', true], ['/admin%3Bx/y', true], ['/%3B/admin/x', true], ['/aDMIN;x', true],
    ['/admin/X', false], ['/admin/x;y', false], ['/public/ADMIN', false], ['/public;x/admin', false], ['/%C3%89', false], ['/Public', false], ['/x;admin', false], ['/', false],
  ])('[DEC2] %s: %s', (path, wanted) => expect(ambiguous(GUARDED, path)).toBe(wanted))

  test('[DEC2] only as the route says its upstream folds', () => {
    expect(ambiguous(GUARDED, '/ADMIN/x', { case: false, params: true })).toBe(false)
    expect(ambiguous(GUARDED, '/admin;x/y', { case: true, params: false })).toBe(false)
    expect(ambiguous(GUARDED, '/ADMIN;x/y', { case: true, params: false })).toBe(false)
    expect(ambiguous(GUARDED, '/ADMIN;x/y', { case: false, params: true })).toBe(false)
    expect(ambiguous(GUARDED, '/ADMIN;x/y')).toBe(true)
  })

  test('[DEC2] a pattern in capitals is found by a path in small letters, and is no trouble to its own', () => {
    const rules = [rule({ path: '/Admin/**', scope: 'admin' }), rule()]
    expect(ambiguous(rules, '/admin/x')).toBe(true)
    expect(ambiguous(rules, '/Admin/x')).toBe(false)
    expect(ambiguous(rules, '/user/x')).toBe(false)
    expect(ambiguous(rules, '/admin/x', { case: false, params: true })).toBe(false)
  })

  test('[DEC2] a path with escapes meets its own rule', () => {
    expect(ambiguous([rule({ path: '/caf%C3%A9/**', scope: 'x' }), rule()], '/caf%C3%A9/x')).toBe(false)
    expect(ambiguous([rule({ path: '/caf%C3%A9/**', scope: 'x' }), rule()], '/CAF%C3%A9/x')).toBe(true)
  })

  test('[DEC2] another route counts as much as another rule', () => {
    const other = route('other', 'api.test', '/internal/**')
    expect(ambiguous([rule()], '/INTERNAL/x', { case: true, params: true }, [other])).toBe(true)
    expect(ambiguous([rule()], '/x/INTERNAL', { case: true, params: true }, [other])).toBe(false)
  })

  test('[DEC2] whatever passes meets the same rule in every folded reading', () => {
    const literal = fc.constantFrom('admin', 'Admin', 'public', '%C3%A9')
    const source = fc.array(literal, { minLength: 1, maxLength: 2 }).map(segments => `/${segments.join('/')}/**`)
    const segment = fc.constantFrom('admin', 'ADMIN', 'Admin', 'public', 'Public', '%C3%A9', 'admin;x', ';y', 'public%3Bz', '%3B', 'x')
    let passed = 0
    fc.assert(fc.property(fc.array(source, { minLength: 1, maxLength: 3 }), fc.array(segment, { minLength: 1, maxLength: 3 }).map(segments => `/${segments.join('/')}`), (sources, path) => {
      const rules = [...sources.map(each => rule({ path: each })), rule()]
      if (ambiguous(rules, path)) return
      passed++
      const lower = (text: string): string => text.replace(/%..|[A-Z]/g, part => (part.length === 3 ? part : part.toLowerCase()))
      const stripped = path.replace(/(?:;|%3B)[^/]*/g, '').replace(/\/{2,}/g, '/')
      const first = (seen: string, read: (text: string) => string): number => [...sources, '/**'].findIndex(each => expression(read(each)).test(read(seen)))
      const own = first(path, text => text)
      for (const seen of [path, stripped]) expect(first(seen, lower), `${path} as ${seen}`).toBe(own)
    }), { numRuns: 10_000 })
    expect(passed).toBeGreaterThan(500)
  })
})

test.each(['/adm%C4%B1n/x', '/%EF%BD%81dmin/x', '/%EF%BC%A1dmin/x', '/Adm%C4%B1n/x'])('[DEC4] %s, which an upstream that ignores case by Unicode reads as another path, is ambiguous', path => {
  const routes = [route('n', 'api.test', '/**', [rule({ name: 'admin', effect: 'deny', path: '/admin/**' }), rule({ name: 'rest' })])]
  const table = routeTable(routes)
  const asked = target('api.test', path)
  const action = { method: 'GET', upgrade: null, call: null }
  const place = placeOf(routes[0] as Route, action, asked)
  expect([place.rule?.name, isAmbiguous(table, place, action, asked)]).toEqual(['rest', true])
  expect(isAmbiguous(table, place, action, target('api.test', '/caf%C3%A9/x'))).toBe(false)
})
