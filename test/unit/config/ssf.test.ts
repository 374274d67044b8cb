// What is said of transmitters and of those who tell of logouts, and what follows from each event where nobody says otherwise.
import { describe, expect, test } from 'vitest'
import { load } from '../../../src/config/load.ts'
import { EVENT_NAMES } from '../../../src/config/schema/signals.ts'
import { loaded, WORLD } from './fixture.ts'

type Written = { readonly ssf?: string; readonly logout?: string; readonly webhooks?: string; readonly serves?: string; readonly more?: string }

const text = ({ ssf, logout, webhooks, serves = 'signals', more = '' }: Written): string => `
version: 1
server:
  listeners:
    - { name: main, address: ":8080", serves: [proxy] }
    - { name: hooks, address: ":8081", serves: [${serves}] }
sessions: { baseline: [{ scopes: [a, base:read] }] }
authn: { login: { jwt: { issuer: "https://login.example", audience: narrowgate }, kind: person } }
notify: { ops: { webhook: { url: "https://ops.example", secretFile: /run/ops } } }
signals: { ${[ssf === undefined ? '' : `ssf: ${ssf}`, logout === undefined ? '' : `logout: ${logout}`, webhooks === undefined ? '' : `webhooks: ${webhooks}`].filter(part => part !== '').join(', ')} }
routes: [{ name: api, match: { host: api.test }, upstream: "http://api:8080", rules: [{ allow: {}, scope: a }] }]
${more}
`

function told(written: Written): readonly string[] {
  const result = load(text(written), 'gateway.yaml', WORLD)
  return (result.ok ? result.warnings : result.problems).map(({ message }) => message)
}

const polled = (more = ''): string => `[{ transmitter: "https://idp.example/one", delivery: poll${more === '' ? '' : `, ${more}`} }]`
const pushed = (more = ''): string => `[{ name: idp, transmitter: "https://idp.example", delivery: push, endpoint: "https://gw.example/ssf/events/idp"${more === '' ? '' : `, ${more}`} }]`
const acting = (event: string, acts: string, more = ''): string => polled(`events: { ${event}: { ${acts} } }${more}`)
const logout = (more = ''): string => `[{ name: sso, issuer: "https://login.example", audience: gw${more === '' ? '' : `, ${more}`} }]`

describe('transmitters', () => {
  test('[SSF1] one that can work is taken as it is: called after its host, speaking for itself, in every format', () => {
    expect(told({ ssf: polled() })).toEqual([])
    expect(loaded(text({ ssf: polled() })).ssf.get('idp.example')).toMatchObject({
      name: 'idp.example', issuer: 'https://idp.example/one', issuers: ['https://idp.example/one'], tenants: [], delivery: 'poll', manage: true, audience: [], access: { is: 'none' }, most: 500, perSecond: 100, opaque: 'session', freshness: null,
    })
    expect(told({ ssf: pushed('tokenFile: /run/token, authorizationFile: /run/auth, freshness: 10m, tenants: [acme], audience: [a, b]') })).toEqual([])
  })

  test('[SSF1] on whom elevations depend is those with a freshness', () => {
    expect(loaded(text({ ssf: polled('freshness: 10m, onSilence: freeze, issuers: ["https://login.example"]') })).policy.streams).toEqual([{ name: 'idp.example', issuers: ['https://login.example'], tenants: [], freshness: 600_000, onSilence: 'freeze' }])
    expect(loaded(text({ ssf: polled() })).policy.streams).toEqual([])
  })

  test('[OUT3, SSF1] what takes trust away is believed by itself, what gives it back follows in nothing', () => {
    const { events } = loaded(text({ ssf: polled() })).ssf.get('idp.example') ?? { events: {} }
    const done = Object.fromEntries(Object.entries<readonly { readonly do: string }[]>(events).map(([name, effects]) => [name, effects.map(effect => effect.do).join('+')]))
    expect(Object.keys(done)).toEqual([...EVENT_NAMES])
    expect(done).toEqual({
      'session-revoked': 'terminate', 'token-claims-change': 'claims', 'session-established': '', 'session-presented': 'risk',
      'credential-change.create': 'risk', 'credential-change.revoke': 'endElevations+reproof', 'credential-change.update': '', 'credential-change.delete': 'endElevations+reproof',
      'assurance-level-change.increase': '', 'assurance-level-change.decrease': 'endElevations+reproof', 'device-compliance-change.compliant': '', 'device-compliance-change.not-compliant': 'freeze',
      'risk-level-change.low': '', 'risk-level-change.medium': 'narrow', 'risk-level-change.high': 'freeze',
    })
    expect(events).toMatchObject({
      'session-presented': [{ do: 'risk', name: 'idp.example', points: 30 }], 'credential-change.create': [{ points: 20 }], 'assurance-level-change.decrease': [{ scopes: null }, { by: ['signIn'] }],
      'credential-change.revoke': [{ scopes: null }, { by: ['signIn', 'attest', 'approval'] }], 'device-compliance-change.not-compliant': [{ for: null }], 'risk-level-change.medium': [{ to: null }],
    })
  })

  test('[OUT3] what is written takes the place of what would follow, in the order of the reference', () => {
    const { events } = loaded(text({ ssf: acting('risk-level-change.high', 'do: [notify, shorten, narrow], narrowTo: [base:read], shortenTo: 1m', ', notify: [ops]') })).ssf.get('idp.example') ?? { events: {} }
    expect(events).toMatchObject({ 'risk-level-change.high': [{ do: 'narrow', to: ['base:read'] }, { do: 'shorten', to: 60_000 }, { do: 'notify' }] })
    expect(loaded(text({ ssf: acting('session-revoked', 'do: []') })).ssf.get('idp.example')?.events['session-revoked']).toEqual([])
    expect(loaded(text({ ssf: acting('session-revoked', 'do: [shorten]') })).ssf.get('idp.example')?.events['session-revoked']).toEqual([{ do: 'shorten', to: 300_000 }])
  })

  test('[OUT3] sessions show themselves anew by what risk asks for, where nothing else is written', () => {
    expect(loaded(text({ ssf: polled(), more: 'risk: { stepUp: { by: [approval] } }' })).ssf.get('idp.example')?.events['credential-change.revoke']).toMatchObject([{}, { do: 'reproof', by: ['approval'] }])
  })

  test.each([
    ['push without a listener', { ssf: pushed(), serves: 'health' }, /no listener serves `signals`/],
    ['push without an address, where its stream is managed', { ssf: '[{ name: idp, transmitter: "https://idp.example", delivery: push }]' }, /`endpoint` is missing/],
    ['an address where nobody is told of it', { ssf: polled('endpoint: "https://gw.example/x"') }, /`endpoint` has a meaning only with `delivery: push`/],
    ['a poll of an unmanaged stream without its address', { ssf: polled('manage: false, audience: gw') }, /`pollUrl` is missing/],
    ['an address to poll that its stream says', { ssf: polled('pollUrl: "https://idp.example/poll"') }, /`pollUrl` has a meaning only/],
    ['an unmanaged stream without audience', { ssf: polled('manage: false, pollUrl: "https://idp.example/poll"') }, /`audience` is missing/],
    ['an authorization where nothing is pushed', { ssf: polled('authorizationFile: /run/auth') }, /`authorizationFile` has a meaning only with `delivery: push`/],
    ['a token that nobody is shown', { ssf: '[{ name: idp, transmitter: "https://idp.example", delivery: push, manage: false, audience: gw, authorizationFile: /run/a, tokenFile: /run/token }]' }, /`tokenFile` has a meaning only/],
    ['two ways of access', { ssf: polled('tokenFile: /run/token, oauth: { tokenUrl: "https://idp.example/token", clientId: gw, clientSecretFile: /run/secret }') }, /only one of `tokenFile` and `oauth`/],
    ['tokens asked for in clear text', { ssf: polled('oauth: { tokenUrl: "http://idp.example/token", clientId: gw, clientSecretFile: /run/secret }') }, /must not be read or changed on the way/],
    ['an issuer in clear text', { ssf: '[{ transmitter: "http://idp.example", delivery: poll }]' }, /must not be read or changed on the way/],
    ['an issuer that is no URL', { ssf: '[{ name: idp, transmitter: idp.example, delivery: poll }]' }, /expected an https URL/],
    ['an issuer with a query', { ssf: '[{ transmitter: "https://idp.example?x=1", delivery: poll }]' }, /an issuer has no query/],
    ['a host that is no name', { ssf: '[{ transmitter: "http://[::1]:8080", delivery: poll }]' }, /the host of `transmitter` is no name/],
    ['a silence that nobody notices', { ssf: polled('onSilence: freeze') }, /only with `freshness`/],
    ['a channel that is not there', { ssf: polled('notify: [opz]') }, /there is no channel 'opz'/],
    ['a name of our own', { ssf: polled('name: operator') }, /nobody outside can be called 'operator'/],
    ['a name of a webhook', { ssf: polled('name: itsm'), webhooks: '[{ name: itsm, secretFile: /run/s, map: { id: body.key, closed: body.closed == true } }]' }, /there is a source called 'itsm' already/],
    ['terms of an act that is not there', { ssf: acting('session-revoked', 'do: [terminate], freezeFor: 1m') }, /`freezeFor` has a meaning only with `freeze`/],
    ['an act twice', { ssf: acting('session-revoked', 'do: [freeze, freeze]') }, /`freeze` is written twice/],
    ['something for those that are over', { ssf: acting('session-revoked', 'do: [terminate, freeze]') }, /`terminate` leaves nothing for `freeze`/],
    ['claims that nobody tells', { ssf: acting('session-revoked', 'do: [claims]') }, /only `token-claims-change` tells/],
    ['points without a number', { ssf: acting('session-revoked', 'do: [risk]') }, /`risk` needs `points`/],
    ['a notice to nobody', { ssf: acting('session-revoked', 'do: [notify]') }, /nobody is named who is told/],
  ] as const)('[CFG3, SSF1] %s is refused', (_, written, says) => {
    expect(told(written)).toEqual([expect.stringMatching(says)])
  })

  test('[CFG3, SSF1] two of one name are both refused', () => {
    expect(told({ ssf: '[{ transmitter: "https://idp.example", delivery: poll }, { transmitter: "https://idp.example", delivery: poll }]' })).toEqual([expect.stringMatching(/called 'idp.example' already/), expect.stringMatching(/called 'idp.example' already/)])
  })

  test('[SSF1] it is said where anybody may have signatures checked, and where nobody can tell silence from peace', () => {
    const open = '[{ name: idp, transmitter: "https://idp.example", delivery: push, manage: false, audience: gw }]'
    expect(told({ ssf: open })).toEqual([expect.stringMatching(/may have signatures checked here/)])
    expect(told({ ssf: open.replace('audience: gw', 'audience: gw, authorizationFile: /run/a, freshness: 10m') })).toEqual([expect.stringMatching(/counts as silent whenever nothing happens/)])
  })

  test('[CFG3, SSF1] each file that is not there is named', () => {
    const result = load(text({ ssf: pushed('authorizationFile: /run/a, tokenFile: /run/b, caFile: /run/c, jwksFile: /run/d'), logout: logout('jwksFile: /run/e') }), 'gateway.yaml', { ...WORLD, exists: file => file === '/run/ops' })
    expect(result.ok ? [] : result.problems.map(({ message }) => /the file (\S+) does not exist/.exec(message)?.[1])).toEqual(['/run/a', '/run/b', '/run/c', '/run/d', '/run/e'])
  })
})

describe('logouts', () => {
  test('[LGO1] a logout ends what it names, where nothing else is written', () => {
    expect(told({ logout: logout() })).toEqual([])
    expect(loaded(text({ logout: logout() })).logout.get('sso')).toMatchObject({ issuer: 'https://login.example', issuers: ['https://login.example'], audience: ['gw'], effects: [{ do: 'terminate' }], most: 500, perSecond: 100 })
    expect(loaded(text({ logout: logout('follows: { do: [freeze], freezeFor: 5m }') })).logout.get('sso')?.effects).toEqual([{ do: 'freeze', for: 300_000 }])
  })

  test.each([
    ['one without a listener', { logout: logout(), serves: 'health' }, /no listener serves `signals`/],
    ['one in clear text', { logout: logout().replace('https://', 'http://') }, /must not be read or changed on the way/],
    ['one that would change claims', { logout: logout('follows: { do: [claims] }') }, /only `token-claims-change` tells/],
    ['one called as a transmitter is', { logout: logout(), ssf: polled('name: sso') }, /called 'sso' already/],
  ] as const)('[CFG3, LGO1] %s is refused', (_, written, says) => {
    expect(new Set(told(written))).toEqual(new Set([expect.stringMatching(says)]))
  })
})
