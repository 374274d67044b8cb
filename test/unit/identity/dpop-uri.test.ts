import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { comparableUri } from '../../../src/identity/dpop/target-uri.ts'
import { faultOf, seal, URI } from './dpop-proofs.ts'

const accepted = 'none: accepted'
const fault = (htu: string, uri = URI): string => faultOf(seal({}, { htu }), { uri })

describe('the URI a proof is made for', () => {
  test.each([
    'HTTPS://api.example.com/orders/7', 'https://API.Example.COM/orders/7', 'https://api.example.com:443/orders/7', 'https://api.example.com:/orders/7',
    'https://api.example.com/%6Frders/7', 'https://api.example.com/%6frders/%37', `${URI}?a=1`, `${URI}#top`, `${URI}?`, `${URI}#`, `${URI}?a=/../x&b=%2f#c?d`,
  ])('[BND2] %s is the same by RFC 3986', htu => {
    expect(fault(htu)).toBe(accepted)
  })

  test.each([
    'http://api.example.com/orders/7', 'https://api.example.com:8443/orders/7', 'https://api.example.com:80/orders/7', 'https://api.example.org/orders/7', 'https://example.com/orders/7', 'https://api.example.com.evil.example/orders/7',
    'https://api.example.com/orders/7/', 'https://api.example.com//orders/7', 'https://api.example.com/orders//7', 'https://api.example.com/Orders/7', 'https://api.example.com/orders%2F7', 'https://api.example.com/orders/%2537', 'https://api.example.com/orders/7;v=1',
    'https://api.example.com/orders/7%20', 'https://api.example.com/orders/7%00', 'https://api.example.com/orders/7%3Fa', 'https://api.example.com/orders/7%23', 'https://api.example.com/orders', 'https://api.example.com', 'https://api.example.com/', 'https://api.example.com/?/orders/7', 'https://api.example.com/orders%5C7',
  ])('[BND2] %s is another', htu => {
    expect(fault(htu)).toBe('htu_differs')
  })

  test.each([
    '/orders/7', 'orders/7', '//api.example.com/orders/7', 'api.example.com/orders/7', 'https:/api.example.com/orders/7', 'https:api.example.com/orders/7', 'https:///orders/7', 'https:', 'https://', 'urn:x:y', 'ftp://api.example.com/orders/7', 'wss://api.example.com/orders/7',
    'https://user@api.example.com/orders/7', 'https://user:secret@api.example.com/orders/7', 'https://@api.example.com/orders/7', 'https://evil.example@api.example.com/orders/7', 'https://api.example.com@evil.example/orders/7', 'https://evil.example\\@api.example.com/orders/7',
    'https://api.example.com/x/../orders/7', 'https://api.example.com/./orders/7', 'https://api.example.com/orders/7/.', 'https://api.example.com/orders/7/..', 'https://api.example.com/x/%2e%2e/orders/7', 'https://api.example.com/%2E/orders/7', 'https://api.example.com/x/.%2E/orders/7',
    'https://api.example.com\\orders\\7', 'https:\\\\api.example.com/orders/7', 'https://api.example.com/orders\\7', ' https://api.example.com/orders/7', 'https://api.example.com/orders/7 ', 'https://api.example.com/or ders/7', 'https://api.example.com/orders/7\n', 'https://api.example.com/orders/7\u0000', 'https://api.example.com/\torders/7',
    'https://api.example.com./orders/7', 'https://.api.example.com/orders/7', 'https://api..example.com/orders/7', 'https://%61pi.example.com/orders/7', 'https://api%2eexample.com/orders/7', 'https://api。example.com/orders/7', 'https://ａpi.example.com/orders/7', 'https://apı.example.com/orders/7', 'https://api.example.com/ordérs/7',
    'https://api.example.com:0443/orders/7', 'https://api.example.com:00/orders/7', 'https://api.example.com:0/orders/7', 'https://api.example.com:65536/orders/7', 'https://api.example.com:+443/orders/7', 'https://api.example.com:443:443/orders/7', 'https://api.example.com:x/orders/7', 'https://api.example.com:４４３/orders/7', 'https://api.example.com:443x/orders/7',
    'https://api.example.com/orders/%', 'https://api.example.com/orders/%3', 'https://api.example.com/orders/%GG', 'https://api.example.com/%u0037', 'https://api.example.com/orders/[7]', 'https://api.example.com/orders/{7}', 'https://api.example.com/orders/7|', 'https://[::1/orders/7', 'https://[fe80::1%25eth0]/orders/7', 'https://[::g]/x',
    'https://api.example.com/orders/7?é', 'https://api.example.com/orders/7#é', 'https://api.example.com/orders/7?a b', 'ⓗttps://api.example.com/orders/7', 'https\u017f://api.example.com/orders/7', 'http\u017f://api.example.com/orders/7',
  ])('[BND2] %j has no one reading', htu => {
    expect(fault(htu)).toBe('htu_malformed')
  })

  test('[BND2] what is reserved is not what it stands for escaped', () => {
    for (const char of ":/@!$&'()*+,;=") {
      const escaped = `https://a.example/x%${char.charCodeAt(0).toString(16)}y`
      expect(fault(escaped, `https://a.example/x${char}y`)).toBe('htu_differs')
      expect(fault(escaped, escaped.toUpperCase().replace('HTTPS://A.EXAMPLE/X', 'https://a.example/x').replace(/Y$/, 'y'))).toBe(accepted)
    }
  })

  test('[BND2] an empty path is the root, http has port 80, and addresses stand as they are written', () => {
    expect([fault('https://a.example', 'https://a.example/'), fault('https://a.example?x', 'https://a.example/'), fault('http://a.example:80/', 'http://a.example/'), fault('https://[2001:DB8::1]:443/', 'https://[2001:db8::1]/')]).toEqual(Array(4).fill(accepted))
    expect([fault('http://a.example:443/', 'http://a.example/'), fault('https://[2001:db8:0::1]/', 'https://[2001:db8::1]/'), fault('http://127.1/', 'http://127.0.0.1/'), fault('http://2130706433/', 'http://127.0.0.1/')]).toEqual(Array(4).fill('htu_differs'))
  })

  test('[BND2] a request without a URI of one reading has no proof', () => {
    for (const uri of ['', '/orders/7', 'https://u@api.example.com/orders/7', 'https://api.example.com/../orders/7']) expect([fault(URI, uri), fault(uri === '' ? 'x' : uri, uri)]).toEqual(['htu_differs', 'htu_malformed'])
  })

  test('[BND2] the form is its own form, and what a canonical path of the gateway is stays as it is', () => {
    const segment = fc.stringMatching(/^(?:[A-Za-z0-9\-_~!$&'()*+,;=:@]|%2F|%20|%C3%A9|%25){1,8}$/)
    fc.assert(fc.property(fc.array(segment, { maxLength: 5 }), fc.constantFrom('https://a.example', 'http://a-b_c.example:8080', 'https://[::1]:1'), (segments, origin) => {
      const uri = `${origin}/${segments.join('/')}`
      expect(comparableUri(uri)).toBe(uri)
    }), { numRuns: 300 })
  })

  test('[BND2] spellings RFC 3986 calls equal are equal, whatever the URI', () => {
    const path = fc.array(fc.stringMatching(/^[A-Za-z0-9\-_~]{1,6}$/), { minLength: 1, maxLength: 4 })
    fc.assert(fc.property(path, fc.array(fc.nat(3), { minLength: 40, maxLength: 40 }), fc.boolean(), fc.constantFrom('', ':', ':443'), fc.constantFrom('', '?', '?a=b', '#c', '?x#y'), (segments, choices, upper, port, tail) => {
      const plain = `/${segments.join('/')}`
      const escaped = plain.split('').map((char, i) => {
        const hex = `%${char.charCodeAt(0).toString(16)}`
        return char === '/' || (choices[i % 40] ?? 0) > 1 ? char : choices[i % 40] === 1 ? hex : hex.toUpperCase()
      }).join('')
      const host = upper ? 'A.EXAMPLE' : 'a.example'
      expect(comparableUri(`${upper ? 'HTTPS' : 'https'}://${host}${port}${escaped}${tail}`)).toBe(`https://a.example${plain}`)
    }), { numRuns: 300 })
  })

  test('[BND2] no text costs more than its length', () => {
    const started = process.threadCpuUsage().user
    for (const text of [`https://${'a'.repeat(8_000)}!`, `https://${'a.'.repeat(4_000)}`, `https://a/${'%2'.repeat(4_000)}`, `https://a${'/'.repeat(8_000)} `, `https://a/?${'?'.repeat(8_000)}\n`]) for (let i = 0; i < 20; i++) expect(comparableUri(text)).toBeNull()
    expect(process.threadCpuUsage().user - started).toBeLessThan(1_000_000)
  })
})
