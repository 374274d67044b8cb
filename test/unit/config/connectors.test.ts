// What is said of connectors that cannot work.
import { describe, expect, test } from 'vitest'
import { load } from '../../../src/config/load.ts'
import { WORLD } from './fixture.ts'

const MAP = '{ id: body.key, closed: body.closed == true }'

type Parts = { readonly tickets?: string; readonly webhooks?: string; readonly purposes?: string; readonly profile?: string; readonly serves?: string }

function told({ tickets, webhooks, purposes = 'ticket: { header: narrowgate-ticket, source: itsm }', profile = 'purpose: [ticket]', serves = 'signals' }: Parts): readonly string[] {
  const result = load(`
version: 1
server:
  listeners:
    - { name: main, address: ":8080", serves: [proxy] }
    - { name: hooks, address: ":8081", serves: [${serves}] }
authn: { login: { jwt: { issuer: "https://login.example", audience: narrowgate }, kind: person } }
purposes: { ${purposes} }
${tickets === undefined ? '' : `tickets: ${tickets}`}
${webhooks === undefined ? '' : `signals: { webhooks: ${webhooks} }`}
elevations: { change: { adds: [a], for: 1m, ${profile} } }
routes: [{ name: api, match: { host: api.test }, upstream: "http://api:8080", rules: [{ allow: {}, scope: a }] }]
`, 'gateway.yaml', WORLD)
  return (result.ok ? result.warnings : result.problems).map(({ message }) => message)
}

const place = (more: string, url = 'https://itsm.example/{id}', map = MAP): string => `{ itsm: { url: "${url}", map: ${map}${more === '' ? '' : `, ${more}`} } }`

describe('connectors', () => {
  test('[TKT1] one that can work is taken as it is', () => {
    expect(told({ tickets: place('staleAfter: 2m, tokenFile: /run/token') })).toEqual(["the purpose is only stated in a header: the caller can write there what it likes"])
  })

  test.each([
    ['a place without the ticket', place('', 'https://itsm.example/'), /put \{id\} where it belongs/],
    ['a place in clear text', place('', 'http://itsm.example/{id}'), /must not be read or changed on the way/],
    ['a host made of the id', place('', 'https://{id}.example/x'), /belong into the path or the query/],
    ['an unknown placeholder', place('', 'https://itsm.example/{id}/{name}'), /there is no \{name\}/],
    ['a tenant that nobody tells', place('', 'https://itsm.example/{tenant}/{id}'), /known only where `map.tenant`/],
    ['a silence shorter than two polls', place('poll: 30s, staleAfter: 59s'), /less than two polls/],
    ['a credential in a header', place('headers: { Authorization: x }'), /is set by the gateway/],
    ['a map of something else', place('', undefined, '{ id: ticket.key, closed: "true" }'), /condition, column 1/],
    ['a note that is no JSON', place('note: { url: "https://itsm.example/{id}", body: "{text}" }'), /is no JSON once its placeholders are filled/],
    ['a fact of a taken name', place('', undefined, '{ id: body.key, closed: "true", facts: { state: body.state } }'), /is written beside `facts`/],
  ])('[CFG3, TKT1] %s is refused', (_, tickets, says) => {
    expect(told({ tickets })).toEqual([expect.stringMatching(says)])
  })

  test('[CFG3, TKT2] a signature without a time needs a time in the message', () => {
    const hook = (map: string): string => `[{ name: itsm, secretFile: /run/secret, signature: { header: x-hub-signature-256 }, map: ${map} }]`
    expect(told({ webhooks: hook(MAP) })).toEqual([expect.stringMatching(/tells no time/)])
    expect(told({ webhooks: hook('{ id: body.key, closed: body.closed == true, at: body.at }') })).toHaveLength(1)
  })

  test('[CFG3] a webhook and a place of one name tell of the same: kind and tenant fit', () => {
    expect(told({ tickets: place(''), webhooks: `[{ name: itsm, kind: run, secretFile: /run/secret, map: ${MAP} }]` })).toEqual([expect.stringMatching(/is one connector with it/)])
    expect(told({ tickets: place(''), webhooks: '[{ name: itsm, secretFile: /run/secret, map: { id: body.key, closed: body.closed == true, tenant: body.of } }]' })).toEqual([expect.stringMatching(/both must/)])
    expect(told({ webhooks: `[{ name: itsm, secretFile: /run/a, map: ${MAP} }, { name: itsm, secretFile: /run/b, map: ${MAP} }]` })).toEqual([expect.stringMatching(/there is a webhook 'itsm' already/)])
  })

  test('[CFG3, PUR2] a purpose takes its end from a connector of its own kind', () => {
    expect(told({ webhooks: `[{ name: itsm, kind: run, secretFile: /run/secret, map: ${MAP} }]` })).toEqual([expect.stringMatching(/tells of a run, not of a ticket/)])
    expect(told({})).toEqual([expect.stringMatching(/there is no connector 'itsm'/)])
  })

  test('[CFG3, TKT3] a condition about the ticket needs a ticket that somebody tells of', () => {
    const require = `require: 'ticket.state == "approved"'`
    expect(told({ tickets: place(''), profile: `purpose: [ticket], ${require}` })).toHaveLength(1)
    expect(told({ tickets: place(''), profile: require })).toEqual([expect.stringMatching(/nobody tells of one/)])
    expect(told({ purposes: 'ticket: { header: narrowgate-ticket, source: manual }', profile: `purpose: [ticket], ${require}` })).toEqual([expect.stringMatching(/nobody tells of one/)])
    expect(told({ purposes: 'ticket: { header: narrowgate-ticket, source: manual }', profile: `purpose: [ticket], require: 'purpose.ticket.startsWith("CHG")'` })).toHaveLength(1)
  })

  test('[CFG3, TKT3] without a ticket it is about the run, task or the like that somebody tells of; never where the profile has a ticket that nobody tells of', () => {
    const require = `require: 'ticket.database == "orders"'`
    const webhooks = `[{ name: ci, kind: run, secretFile: /run/secret, map: ${MAP} }]`
    const run = 'run: { header: narrowgate-run, source: ci }'
    expect(told({ webhooks, purposes: run, profile: `purpose: [run], ${require}` })).toHaveLength(1)
    expect(told({ webhooks, purposes: run, profile: require })).toEqual([expect.stringMatching(/nobody tells of one/)])
    expect(told({ webhooks, purposes: `${run}, ticket: { header: narrowgate-ticket, source: manual }`, profile: `purpose: [ticket, run], ${require}` })).toEqual([expect.stringMatching(/nobody tells of one/)])
  })

  describe('of scores', () => {
    const hook = (map: string, more = ''): string => `[{ name: siem, kind: risk, secretFile: /run/secret, map: ${map}${more} }]`
    const [quiet] = told({ tickets: place(''), webhooks: hook('{ subject: body.user, score: body.score }') })

    test('[RSK9] one that names a subject and a score is taken', () => {
      expect(quiet).toMatch(/only stated in a header/)
      expect(told({ tickets: place(''), webhooks: hook('{ subject: body.user, issuer: body.iss, tenant: body.org, client: body.app, score: body.score * 100.0, name: body.alert, at: body.at }', ', signature: { header: x-signature }') })).toHaveLength(1)
    })

    test.each([
      ['one without a score', hook('{ subject: body.user }'), /`score` is missing/],
      ['one without a subject', hook('{ score: body.score }'), /`subject` is missing/],
      ['one with what only tickets have', hook('{ subject: body.user, score: body.score, closed: body.done }'), /`closed` has no meaning with `kind: risk`/],
      ['one whose score is a text', hook('{ subject: body.user, score: "body.score + string(1)" }'), /gives string, not number|condition/],
      ['one whose signature tells no time', hook('{ subject: body.user, score: body.score }', ', signature: { header: x-signature }'), /tells no time/],
      ['one called as a connector', hook('{ subject: body.user, score: body.score }').replace('siem', 'itsm'), /there is a connector 'itsm' already/],
      ['a ticket with a score', `[{ name: other, secretFile: /run/secret, map: { id: body.key, closed: "true", score: body.score } }]`, /`score` has a meaning only with `kind: risk`/],
      ['a ticket without its id', `[{ name: other, secretFile: /run/secret, map: { closed: "true" } }]`, /`id` is missing/],
    ])('[CFG3, RSK9] %s is refused', (_, webhooks, says) => {
      expect(told({ tickets: place(''), webhooks })).toEqual([expect.stringMatching(says)])
    })
  })

  describe('of trust', () => {
    const hook = (map: string, more = 'events: { left: { do: [terminate] } }'): string => `[{ name: edr, kind: signal, secretFile: /run/secret, map: ${map}${more === '' ? '' : `, ${more}`} }]`
    const WHO = '{ event: body.kind, subject: body.user }'

    test('[OUT9] one that names an event and somebody is taken', () => {
      expect(told({ tickets: place(''), webhooks: hook(WHO) })).toHaveLength(1)
      expect(told({ tickets: place(''), webhooks: hook('{ event: body.kind, id: body.id, at: body.at, issuer: body.iss, email: body.mail, session: body.sid, device: body.device, workload: body.spiffe, credential: body.jti, tenant: body.org }', 'events: { left: { do: [] } }, signature: { header: x-signature }, maxSessionsPerEvent: 5, perSecond: 7') })).toHaveLength(1)
    })

    test.each([
      ['one that names no event', hook('{ subject: body.user }'), /`event` is missing/],
      ['one that names nobody', hook('{ event: body.kind, issuer: body.iss }'), /nobody is named/],
      ['one from which nothing follows', hook(WHO, ''), /`events` is missing/],
      ['an address of nobody', hook('{ event: body.kind, email: body.mail }'), /`email` is told by an issuer/],
      ['a token of nobody', hook('{ event: body.kind, credential: body.jti }'), /`credential` is told by an issuer/],
      ['one with what only tickets have', hook('{ event: body.kind, subject: body.user, closed: body.done }'), /`closed` has no meaning with `kind: signal`/],
      ['one with a score', hook('{ event: body.kind, subject: body.user, score: body.score }'), /`score` has no meaning with `kind: signal`/],
      ['one whose signature tells no time', hook(WHO, 'events: { left: { do: [terminate] } }, signature: { header: x-signature }'), /tells no time/],
      ['one called as a connector', hook(WHO).replace('edr', 'itsm'), /there is a connector 'itsm' already/],
      ['one called as our own people', hook(WHO).replace('edr', 'operator'), /nobody outside can be called 'operator'/],
      ['one that tells a channel nobody has', hook(WHO, 'events: { left: { do: [terminate] } }, notify: [nobody]'), /there is no channel 'nobody'/],
      ['one that tells nobody', hook(WHO, 'events: { left: { do: [notify] } }'), /nobody is named who is told/],
      ['points that are missing', hook(WHO, 'events: { left: { do: [risk] } }'), /`risk` needs `points`/],
      ['claims that it cannot tell', hook(WHO, 'events: { left: { do: [claims] } }'), /which claims changed/],
      ['a ticket with an event', `[{ name: other, secretFile: /run/secret, map: { id: body.key, closed: "true", event: body.kind } }]`, /`event` has a meaning only with `kind: signal`/],
      ['a ticket from which something follows', `[{ name: other, secretFile: /run/secret, map: ${MAP}, events: { left: { do: [terminate] } } }]`, /`events` has a meaning only with `kind: signal`/],
      ['a score with a session', `[{ name: other, kind: risk, secretFile: /run/secret, map: { subject: body.user, score: body.score, session: body.sid } }]`, /`session` has a meaning only with `kind: signal`/],
    ])('[CFG3, OUT9] %s is refused', (_, webhooks, says) => {
      expect(told({ tickets: place(''), webhooks })).toEqual([expect.stringMatching(says)])
    })
  })

  test('[CFG3] names of other anchors are taken, and who sends news has a listener of its own', () => {
    expect(told({ tickets: place('').replace('itsm', 'signed'), purposes: 'ticket: { header: narrowgate-ticket, source: manual }' })).toEqual([expect.stringMatching(/cannot be called 'signed'/)])
    expect(told({ webhooks: `[{ name: itsm, secretFile: /run/secret, map: ${MAP} }]`, serves: 'signals, health' })).toEqual([expect.stringMatching(/serves nothing else/)])
    expect(told({ webhooks: `[{ name: itsm, secretFile: /run/secret, map: ${MAP} }]`, serves: 'health' })).toContainEqual(expect.stringMatching(/no listener serves `signals`/))
  })
})
