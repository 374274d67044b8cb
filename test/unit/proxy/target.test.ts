// One canonical form of a target: what upstreams are known to do to a path changes nothing about a form that was accepted.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { describeTarget, type Described, hostOf } from '../../../src/proxy/describe/target.ts'

const HOST = 'api.test'
const described = (url: string, authority = HOST): Described => {
  const found = describeTarget(url, authority)
  if (typeof found === 'string') throw new Error(`${url}: ${found}`)
  return found
}
const pathOf = (url: string): string => described(url).target.path

// ---- what upstreams do to paths, written without the code under test

/** Decodes what can be decoded, once. */
const decode = (path: string): string => {
  const bytes: number[] = []
  for (let i = 0; i < path.length; i++) {
    const escape = /^%([0-9A-Fa-f]{2})/.exec(path.slice(i, i + 3))
    if (escape !== null) i += 2
    bytes.push(...(escape === null ? Buffer.from(path.charAt(i)) : [Number.parseInt(escape[1] ?? '', 16)]))
  }
  return Buffer.from(bytes).toString('utf8')
}
const withoutParams = (path: string): string => path.replace(/;[^/]*/g, '')
const withoutDots = (path: string): string => {
  const kept: string[] = []
  for (const segment of path.split('/').slice(1)) {
    if (segment === '..') kept.pop()
    else if (segment !== '.') kept.push(segment)
  }
  return `/${kept.join('/')}`
}
const merged = (path: string): string => path.replace(/\/{2,}/g, '/')
const slashed = (path: string): string => path.replaceAll('\\', '/')

const PIECES = ['a', 'B', '7', '-', '~', '.', '..', '%2e', '%2E', '/', '/', '/', '//', '%2f', '%2F', '\\', '%5c', '%5C', '%25', '%', '2', '32', '65', '%32', '%65', '%35', '%63', ';', ';x=1', '%3b', '%3B', '%00', '%0a', '%7f', '%7E', '%41', '%c3%a9', '%C3', '%ff', '%ef%bc%8f', '%EF%BC%8E', '%e2%80%a4', ' ', '#', '{', '*', '@', ':', '%20', 'é']
const anyPath = fc.array(fc.constantFrom(...PIECES), { maxLength: 14 }).map(pieces => `/${pieces.join('')}`)
const RUNS = { numRuns: 5_000 }

/** Runs the property over paths that were accepted, and sees that there were some of them with escapes. */
function overAccepted(holds: (path: string, found: Described) => void, run = anyPath): void {
  let accepted = 0
  fc.assert(fc.property(run, path => {
    const found = describeTarget(path, HOST)
    if (typeof found === 'string') return
    if (path.includes('%')) accepted++
    holds(found.target.path, found)
  }), RUNS)
  expect(accepted).toBeGreaterThan(100)
}

describe('the canonical path', () => {
  test('[WIRE1] describing it again gives the same', () => {
    overAccepted((path, found) => expect(describeTarget(path, HOST)).toEqual(found))
  })

  test('[WIRE1] its segments are the path', () => {
    overAccepted((path, { target }) => expect(`/${target.segments.join('/')}`).toBe(path))
  })

  test('[WIRE1] it means what was sent: decoded, both are the same', () => {
    fc.assert(fc.property(anyPath, path => {
      const found = describeTarget(path, HOST)
      if (typeof found !== 'string') expect(decode(found.target.path)).toBe(decode(path))
    }), RUNS)
  })

  test('[WIRE2] dots, slashes and backslashes are folded to themselves, before decoding and after decoding once or twice', () => {
    overAccepted((path, { encodedSlash }) => {
      if (encodedSlash) return
      for (const seen of [path, decode(path), decode(decode(path))]) {
        expect(withoutDots(seen)).toBe(seen)
        expect(merged(seen)).toBe(seen)
        expect(slashed(seen)).toBe(seen)
      }
    })
  })

  test('[WIRE2] a second decoding finds nothing more', () => {
    overAccepted(path => expect(decode(decode(path))).toBe(decode(path)))
  })

  test('[WIRE2] without its parameters no dot segment comes up, in whatever order an upstream decodes and strips', () => {
    overAccepted((path, { encodedSlash }) => {
      if (encodedSlash) return
      for (const seen of [withoutParams(path), withoutParams(decode(path)), decode(withoutParams(path))]) expect(withoutDots(seen)).toBe(seen)
    })
  })

  test('[WIRE2] where an escaped slash stays, no dot segment comes up behind it either', () => {
    overAccepted(path => {
      const seen = decode(path)
      expect(seen.split('/').filter(segment => segment === '.' || segment === '..')).toEqual([])
    })
  })

  test('[WIRE2] it holds what may stand in a path and nothing else', () => {
    overAccepted(path => expect(path).toMatch(/^\/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-F]{2})*$/))
  })

  test('[WIRE2] any text at all is described or refused, never thrown at', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' }), anyPath), fc.oneof(fc.string(), fc.constant(HOST)), (url, authority) => {
      const found = describeTarget(url, authority)
      if (typeof found === 'string') expect(found).toMatch(/^the [A-Za-z0-9 \-,()]+$/)
    }), RUNS)
  })

  test.each([
    ['/', '/'], ['/a/b', '/a/b'], ['/a/', '/a/'], ['/%61', '/a'], ['/%7euser', '/~user'], ['/%41%2d%5F', '/A-_'], ['/caf%c3%a9', '/caf%C3%A9'], ['/a%20b', '/a%20b'],
    ['/a;v=1/b', '/a;v=1/b'], ['/...', '/...'], ['/a..', '/a..'], ['/.well-known/x', '/.well-known/x'], ['/a%3bb', '/a%3Bb'], ['/100%25', '/100%25'], ['/%25zz', '/%25zz'],
  ])('[WIRE1] %s is %s', (url, path) => expect(pathOf(url)).toBe(path))

  test.each([
    '', 'a', '*', '//', '//a', '/a//b', '/a//', '/.', '/..', '/./a', '/a/..', '/a/../b', '/%2e', '/%2e%2E/a', '/.%2e/a', '/..;/a', '/..;x=1', '/a/.;b/c', '/..%3b/a', '/%2e%2e%3Bx/a', '/a\\b', '/a%5cb', '/%5C..',
    '/%00', '/a%0d%0ab', '/%7f', '/%252e', '/%25%32%65', '/%2%35e', '/%', '/%g0', '/%1', '/%ff', '/%c3', '/%c0%af', '/%e0%80%af', '/%ed%a0%80', '/a b', '/a"b', '/a<b', '/a{b}', '/a|b', '/a^b', '/a`b', '/é', '/\u{ff0f}',
    '/a%ef%bc%8fb', '/%EF%BC%8E%EF%BC%8E/a', '/a%e2%88%95b', '/%e2%80%a4%e2%80%a4/a', '/a%ef%bc%bcb', '/a#b', '/a?b#c', '/a?b c', '/a?\u{e9}', '?a', '#', `/${'a'.repeat(16_384)}`,
  ])('[WIRE2] %j is refused', url => expect(describeTarget(url, HOST)).toBeTypeOf('string'))

  test('[WIRE2] an escaped slash is told of, and stays one character of its segment', () => {
    expect(described('/a%2fb/c')).toEqual({ target: { host: HOST, path: '/a%2Fb/c', segments: ['a%2Fb', 'c'], query: '' }, encodedSlash: true })
    expect(described('/a%2e/c').encodedSlash).toBe(false)
  })

  test('[WIRE1] the query goes along as it came', () => {
    expect(described('/a?x=%2e%2e/&y=//;#'.replace('#', '')).target).toMatchObject({ path: '/a', query: '?x=%2e%2e/&y=//;' })
    expect(described('/a?').target).toMatchObject({ path: '/a', query: '?' })
    expect(described('/a?b?c').target.query).toBe('?b?c')
  })
})

describe('the authority', () => {
  test.each([
    ['api.test', 'api.test'], ['API.Test', 'api.test'], ['api.test:8443', 'api.test'], ['127.0.0.1:1', '127.0.0.1'], ['[::1]', '[::1]'], ['[2001:DB8::1]:80', '[2001:db8::1]'], ['a_b.test', 'a_b.test'], ['localhost', 'localhost'],
  ])('[WIRE1] %s is the host %s', (authority, host) => expect(hostOf(authority)).toBe(host))

  test.each(['', ' ', 'api test', 'api.test ', 'user@api.test', 'api.test/x', 'api.test\\x', 'api..test', '.api.test', 'api.test.', '-a.test', 'a-.test', 'api.test:', 'api.test:x', 'api.test:123456', '[::1', '::1', '[::1]x', '[g::]', 'api.test,other.test', 'api.test#', 'é.test', `${'a'.repeat(301)}`])(
    '[WIRE2] %j is no host', authority => {
      expect(hostOf(authority)).toBeNull()
      expect(describeTarget('/', authority)).toBe('the Host header is not a host')
    })

  test('[WIRE1] an absolute target counts only with the same authority, and is the path it names', () => {
    expect(described('http://api.test/a?b').target).toMatchObject({ host: HOST, path: '/a', query: '?b' })
    expect(described('HTTPS://API.test:443/a', 'api.test:8080').target.path).toBe('/a')
    for (const url of ['http://other.test/a', 'http://api.test@other.test/a', 'http://api.test', 'ftp://api.test/a', 'api.test:443', 'http:///a', 'http:/a', 'http://api.test#/a', 'http://api.test?/a', 'http://api.test\\@other.test/a']) expect(describeTarget(url, HOST), url).toBeTypeOf('string')
  })
})
