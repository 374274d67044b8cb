// What the head of an HTTP/2 request becomes before anything judges it. SPEC: WIRE3, WIRE16
import { describe, expect, test } from 'vitest'
import { readStreamHead } from '../../../src/proxy/http2/stream-head.ts'

const PSEUDO = { ':method': 'GET', ':scheme': 'https', ':authority': 'api.test', ':path': '/a' }
type Pseudo = Partial<typeof PSEUDO> & { readonly ':protocol'?: string; readonly ':odd'?: string }

function head(pseudo: Pseudo = {}, fields: readonly string[] = [], without: readonly (keyof typeof PSEUDO)[] = []) {
  const kept = Object.entries({ ...PSEUDO, ...pseudo }).filter(([name]) => !without.some(left => left === name))
  return readStreamHead([...kept.flat(), ...fields], true)
}

describe('the head of a stream', () => {
  test('[WIRE15, WIRE16] is read as the other protocols\' heads are: no pseudo field, the authority in front as host', () => {
    expect(head({}, ['accept', '*/*', 'x', '1', 'x', '2'])).toMatchObject({ method: 'GET', path: '/a', protocol: null, headers: ['host', 'api.test', 'accept', '*/*', 'x', '1', 'x', '2'] })
  })

  test('[WIRE16] takes its host from Host where no authority is given, and takes both where they are the same', () => {
    expect(head({}, ['host', 'b.test'], [':authority'])).toMatchObject({ headers: ['host', 'b.test'] })
    expect(head({}, ['host', 'api.test'])).toMatchObject({ headers: ['host', 'api.test'] })
  })

  test('[WIRE16] joins the crumbs of a cookie where the first one stood', () => {
    expect(head({}, ['cookie', 'a=1', 'x', 'y', 'cookie', 'b=2', 'cookie', 'c=3'])).toMatchObject({ headers: ['host', 'api.test', 'cookie', 'a=1; b=2; c=3', 'x', 'y'] })
    expect(head({}, Array.from({ length: 65 }, () => ['cookie', 'a=1']).flat())).toContain('crumbs')
  })

  test('[WIRE18] keeps the protocol of an extended CONNECT', () => {
    expect(head({ ':method': 'CONNECT', ':protocol': 'websocket' })).toMatchObject({ method: 'CONNECT', protocol: 'websocket', path: '/a' })
  })

  const MALFORMED: readonly (readonly [name: string, got: ReturnType<typeof head>])[] = [
    ['another host than the authority', head({}, ['host', 'admin.test'])],
    ['the same host in another case', head({}, ['host', 'API.test'])],
    ['two hosts', head({}, ['host', 'api.test', 'host', 'api.test'])],
    ['no authority and no host', head({}, [], [':authority'])],
    ['an empty authority', head({ ':authority': '' })],
    ['no path', head({}, [], [':path'])],
    ['a path without its slash', head({ ':path': 'admin.Service/Delete' })],
    ['an asterisk for a path', head({ ':method': 'OPTIONS', ':path': '*' })],
    ['an absolute URL for a path', head({ ':path': 'https://api.test/a' })],
    ['no method', head({}, [], [':method'])],
    ['a method with a space', head({ ':method': 'GET /admin HTTP/1.1' })],
    ['a method with a question mark', head({ ':method': 'GET?' })],
    ['a method in lower case', head({ ':method': 'get' })],
    ['an extended CONNECT without a path', head({ ':method': 'CONNECT', ':protocol': 'websocket' }, [], [':path'])],
    ['clear text inside TLS', head({ ':scheme': 'http' })],
    ['another scheme', head({ ':scheme': 'ftp' })],
    ['an unknown pseudo field', head({ ':odd': 'x' })],
  ]
  for (const [name, got] of MALFORMED) test(`[WIRE3, WIRE16] with ${name} is malformed`, () => expect(got).toBeTypeOf('string'))
})
