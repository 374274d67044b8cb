// What is said of decisions for others that cannot be given.
import { describe, expect, test } from 'vitest'
import { load } from '../../../src/config/load.ts'
import { WORLD } from './fixture.ts'

const PEPS = 'peps: [{ name: app, tokenFile: /run/token }]'
const QUESTIONS = 'questions: [{ method: body.action.name, url: body.resource.id }]'
const TLS = 'tls: { certFile: /tls/a, keyFile: /tls/b, clients: { caFile: /tls/c } }'

function told(decisions: string, listener = '{ name: ask, address: "127.0.0.1:9181", serves: [decisions] }'): readonly string[] {
  const result = load(`
version: 1
server: { listeners: [{ name: main, address: ":8080", serves: [proxy] }${listener === '' ? '' : `, ${listener}`}] }
authn: { login: { jwt: { issuer: "https://login.example", audience: narrowgate }, kind: person } }
${decisions === '' ? '' : `decisions: { ${decisions} }`}
routes: [{ name: api, match: { host: api.test }, upstream: "http://api:8080", rules: [{ allow: {}, scope: a }] }]
`, 'gateway.yaml', WORLD)
  return (result.ok ? result.warnings : result.problems).map(({ message }) => message).filter(message => !/scope/.test(message))
}

const all = (...parts: readonly string[]): string => parts.join(', ')
const ID = 'identifier: "https://pdp.example"'

describe('decisions', () => {
  test('[PDP1] one that can work is taken as it is', () => {
    expect(told(all(ID, PEPS, QUESTIONS))).toEqual([])
    expect(told(all('identifier: "http://127.0.0.1:9181/pdp"', PEPS, QUESTIONS))).toEqual([])
    expect(told(all(ID, 'peps: [{ name: edge, certificate: { dnsNames: [edge.example] } }]', QUESTIONS), `{ name: ask, address: ":9181", serves: [decisions], ${TLS} }`)).toEqual([])
  })

  test.each([
    ['without callers', all(ID, QUESTIONS), /`peps` is missing/],
    ['without questions', all(ID, PEPS), /`questions` is missing/],
    ['without an identifier', all(PEPS, QUESTIONS), /`identifier` is missing/],
    ['an identifier in clear text', all('identifier: "http://pdp.example"', PEPS, QUESTIONS), /expected an https URL/],
    ['an identifier with a query', all('identifier: "https://pdp.example/?x"', PEPS, QUESTIONS), /expected an https URL/],
    ['an identifier with a slash at its end', all('identifier: "https://pdp.example/"', PEPS, QUESTIONS), /expected an https URL/],
    ['an identifier that is written in another way', all('identifier: "https://PDP.example/a/../b"', PEPS, QUESTIONS), /expected an https URL/],
    ['a caller without a credential', all(ID, 'peps: [{ name: app }]', QUESTIONS), /exactly one of `tokenFile` and `certificate`/],
    ['a caller with two', all(ID, 'peps: [{ name: app, tokenFile: /run/token, certificate: { dnsNames: [a.example] } }]', QUESTIONS), /exactly one of `tokenFile` and `certificate`/],
    ['two callers of one name', all(ID, 'peps: [{ name: app, tokenFile: /a }, { name: app, tokenFile: /b }]', QUESTIONS), /there is 'app' already/],
    ['a route that is not there', all(ID, 'peps: [{ name: app, tokenFile: /a, routes: [ape] }]', QUESTIONS), /there is no route 'ape'/],
    ['certificates that nobody asks for', all(ID, 'peps: [{ name: edge, certificate: { dnsNames: [edge.example] } }]', QUESTIONS), /no listener that serves `decisions` asks for any/],
    ['sessions as principals', all(ID, PEPS, QUESTIONS, 'principals: [{ type: session, issuer: "https://login.example" }]'), /always a live session/],
    ['two principals of one type', all(ID, PEPS, QUESTIONS, 'principals: [{ type: user, issuer: a }, { type: user, issuer: b }]'), /there is 'user' already/],
    ['a method that is no text', all(ID, PEPS, 'questions: [{ method: "1 + 1", url: body.resource.id }]'), /gives int, not string/],
    ['a condition that reads something else', all(ID, PEPS, 'questions: [{ when: subject.kind == "x", method: body.action.name, url: body.resource.id }]'), /condition, column 1/],
  ])('[CFG3, PDP1] what cannot work is refused: %s', (_, decisions, says) => {
    expect(told(decisions)).toContainEqual(expect.stringMatching(says))
  })

  test('[CFG3, PDP1] their listener serves nothing else, and speaks TLS unless it is on loopback', () => {
    const good = all(ID, PEPS, QUESTIONS)
    expect(told(good, '{ name: ask, address: "127.0.0.1:9181", serves: [decisions, health] }')).toEqual([expect.stringMatching(/serves `decisions` serves nothing else/)])
    expect(told(good, '{ name: ask, address: ":9181", serves: [decisions] }')).toEqual([expect.stringMatching(/not on a loopback address needs `tls`/)])
    expect(told(good, '')).toEqual([expect.stringMatching(/no listener serves `decisions`/)])
    expect(told('')).toEqual([expect.stringMatching(/`decisions` says nothing/)])
    expect(told('', '')).toEqual([])
  })
})
