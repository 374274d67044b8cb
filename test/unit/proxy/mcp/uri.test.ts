// Which URIs of resources have one reading.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { uriFault } from '../../../../src/proxy/mcp/uri.ts'

describe('URIs of resources', () => {
  test.each([
    'file:///runbooks/a.md', 'file:///runbooks/', 'file:///', 'note://x', 'note:///', 'demo://resource/static/1', 'memo://Owner/Repo', 'https://example.com', 'https://example.com/a?b=c', 'urn:isbn:1', 'custom:abc',
    'file:///a%20b.md', 'file:///caf%C3%A9', 'x://a/100%25.txt', 'x://h/a;v=1/b', 'x://h/a.b..c', 'db://t/rows?from=1..5',
  ])('[MCP1] %s has one reading', uri => expect(uriFault(uri)).toBeNull())

  test.each([
    ['a scheme in another case', 'File:///runbooks/a'],
    ['a host in another case', 'https://Docs.example/a'],
    ['dot segments', 'file:///runbooks/../etc/passwd'],
    ['a single dot', 'file:///runbooks/./a'],
    ['dot segments at the end', 'file:///runbooks/..'],
    ['escaped dots', 'file:///runbooks/%2E%2E/etc'],
    ['escaped dots in small letters', 'file:///runbooks/%2e%2e/etc'],
    ['dots escaped twice', 'file:///runbooks/%252E%252E/etc'],
    ['dots behind a semicolon', 'x://runbooks/..;/etc'],
    ['dots in a query', 'x://runbooks/?path=/../etc'],
    ['dots as a host', 'x://../etc'],
    ['more dots than two', 'file:///runbooks/.../etc'],
    ['dots and a space', 'file:///runbooks/..%20/etc'],
    ['dots of full width', 'file:///runbooks/%EF%BC%8E%EF%BC%8E/etc'],
    ['letters of full width', 'file:///%EF%BD%92unbooks/a'],
    ['an escaped letter', 'file:///%72unbooks/a'],
    ['a character nobody sees', 'file:///runbooks/a%E2%80%8B'],
    ['an overlong escape', 'file:///runbooks/%C0%AE%C0%AE/etc'],
    ['an escaped slash', 'file:///runbooks/..%2Fetc'],
    ['a backslash', 'file:///runbooks\\..\\etc'],
    ['an escaped backslash', 'file:///runbooks/..%5Cetc'],
    ['an escaped zero', 'file:///runbooks/a%00.md'],
    ['an escape of small letters', 'file:///caf%c3%a9'],
    ['a broken escape', 'file:///a%2'],
    ['empty segments', 'file:////etc/passwd'],
    ['empty segments within', 'file:///runbooks//etc'],
    ['a segment of parameters alone', 'x://runbooks/;a/b'],
    ['a user', 'https://docs.example@evil.example/'],
    ['a user of another scheme', 'x://docs@evil/'],
    ['this computer by name', 'file://localhost/etc/passwd'],
    ['one slash', 'file:/etc/passwd'],
    ['one slash of another scheme', 'note:/a'],
    ['the default port', 'https://docs.example:443/'],
    ['an address as a number', 'http://0x7f.1/'],
    ['a query of a file', 'file:///etc/passwd?.md'],
    ['a fragment', 'file:///etc/passwd#.md'],
    ['a space', 'file:///runbooks/a b'],
    ['a letter beyond ASCII', 'file:///é'],
    ['a template', 'file:///runbooks/{name}'],
    ['no scheme', 'runbooks/a'],
    ['nothing', ''],
    ['too long', `x://${'a'.repeat(4_097)}`],
  ])('[MCP1] %s is refused', (_, uri) => expect(uriFault(uri)).toEqual(expect.any(String)))

  test('[MCP1] what completions name may have blanks, and nothing else that URIs may not', () => {
    expect(uriFault('file:///runbooks/{name}', true)).toBeNull()
    expect(uriFault('x://runbooks{/path}{?page,size}', true)).toBeNull()
    expect(uriFault('file:///{name}/../etc', true)).toEqual(expect.any(String))
    expect(uriFault('file:///{a b}', true)).toEqual(expect.any(String))
    expect(uriFault('{scheme}://a', true)).toBeNull() // a scheme of its own, which no pattern of a rule begins with
  })

  const piece = fc.oneof(fc.constantFrom('.', '..', '/', '//', '%2E', '%2e', '%2F', '%5C', '\\', '%00', ';', '?', '#', '@', ':', '%25', '%252E', 'a', 'B', 'é', '%C3%A9', '%EF%BC%8E', ' ', 'localhost', 'runbooks'), fc.string({ maxLength: 3 }))
  test('[MCP1] a file that is taken is the one that the URL parser finds, below the same directory', () => {
    fc.assert(fc.property(fc.array(piece, { maxLength: 12 }), parts => {
      const uri = `file:///runbooks/${parts.join('')}`
      if (uriFault(uri) !== null) return
      const { pathname, host, search, hash, username } = new URL(uri)
      expect({ host, search, hash, username }).toEqual({ host: '', search: '', hash: '', username: '' })
      const walked: string[] = []
      for (const segment of decodeURIComponent(pathname).normalize('NFKC').split(/[/\\]/)) if (segment === '..') walked.pop()
      else walked.push(segment)
      expect(walked.join('/').startsWith('/runbooks/')).toBe(true)
    }), { numRuns: 2_000 })
  })

  test('[MCP1] any text is taken or refused, and never a fault', () => {
    fc.assert(fc.property(fc.string({ maxLength: 200, unit: 'binary' }), text => { expect(() => uriFault(text)).not.toThrow() }))
  })
})
