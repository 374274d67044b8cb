// Who is told of what happens here, as a file names them, and each way in which they cannot be meant.
import { describe, expect, it } from 'vitest'
import { load } from '../../../src/config/load.ts'
import { loaded, problems, SMALL, WORLD } from './fixture.ts'

const LISTENERS = 'server: { listeners: [{ name: main, address: ":8080", serves: [proxy] }, { name: news, address: ":8444", serves: [signals], tls: { certFile: c, keyFile: k } }] }\n'
const transmit = (members: string): string => `${SMALL}${LISTENERS}signals: { transmit: { ${members} } }\n`
const receiver = (more = '', name = 'siem'): string => `{ name: ${name}, tokenFile: t, audience: a${more === '' ? '' : `, ${more}`} }`
const one = (more = '', issuer = 'https://gw.example'): string => transmit(`issuer: "${issuer}", receivers: [${receiver(more)}]`)

describe('who is told', () => {
  it('[CFG2, TRM1] has a token, an audience and, without more, everything', () => {
    expect(loaded(SMALL).transmit).toBeNull()
    expect(loaded(one()).transmit).toEqual({
      issuer: 'https://gw.example', keyFile: null, queue: 10_000, keepFor: 7 * 86_400_000, inactivityTimeout: 30 * 86_400_000,
      receivers: new Map([['siem', {
        name: 'siem', tokenFile: '/work-dir/t', audience: 'a', issuers: [], tenants: [], pushTo: [], caFile: null,
        events: ['session-revoked', 'session-established', 'session-presented', 'risk-level-change', 'elevation-granted', 'elevation-narrowed', 'elevation-ended'],
      }]]),
    })
    expect(loaded(one('pushTo: ["https://SIEM.example:443/"], caFile: ca, events: [elevation-ended, session-revoked], issuers: [i], tenants: [t]')).transmit?.receivers.get('siem')).toMatchObject({
      pushTo: ['https://siem.example'], caFile: '/work-dir/ca', events: ['session-revoked', 'elevation-ended'], issuers: ['i'], tenants: ['t'],
    })
  })

  it.each([
    ['an issuer of the network in the clear', one('', 'http://gw.example'), 'what is told there must not be read or changed on the way'],
    ['an issuer with a query', one('', 'https://gw.example/?a'), 'expected an https URL without credentials, query and fragment'],
    ['an issuer with a slash at its end', one('', 'https://gw.example/a/'), 'ends with a slash, which its metadata could not be found by'],
    ['a path to push to', one('pushTo: ["https://siem.example/events"]'), 'expected an origin, without a path'],
    ['a place in the clear', one('pushTo: ["http://siem.example"]'), 'what is told there must not be read or changed on the way'],
    ['authorities without a place', one('caFile: ca'), 'nothing is pushed to it'],
    ['two of one name', transmit(`issuer: "https://gw.example", receivers: [${receiver()}, ${receiver()}]`), "there is a receiver 'siem' already"],
  ])('[CFG3, TRM1] is refused with %s', (_, text, message) => {
    expect(problems(text)).toEqual([message])
  })

  it('[CFG3, TRM1] needs its files, and is warned of where nobody could come', () => {
    expect(problems(one('pushTo: ["https://s.example"], caFile: ca').replace('receivers', 'keyFile: key, receivers'), { ...WORLD, exists: file => !/\/(t|ca|key)$/.test(file) })).toEqual(['key', 't', 'ca'].map(file => `the file ${file} does not exist or cannot be read`))
    const result = load(one().replace(LISTENERS, ''), 'test.yaml', WORLD)
    expect(result.ok && result.warnings.map(({ message }) => message)).toContain('no listener serves `signals`: nobody can have a stream here')
  })
})
