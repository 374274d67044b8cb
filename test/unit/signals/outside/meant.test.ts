// Who is found where a name has more sessions than can be looked at: nobody is passed over, and whoever speaks for few holds nobody else. The store is a list.
import { expect, test } from 'vitest'
import type { Selector } from '../../../../src/core/anchor.ts'
import type { Subject } from '../../../../src/core/outside.ts'
import { indexOf, type RecordRef, sessionRef } from '../../../../src/core/record.ts'
import type { Session, SessionKey } from '../../../../src/core/session.ts'
import { type LookPorts, meantBy } from '../../../../src/signals/outside/meant.ts'
import { life } from '../../core/lives.ts'

const LOOKED_AT = 10_000
const session = life()
const of = (issuer: string, n: number): Session => ({ ...session, key: `${issuer}/${n}` as SessionKey, principal: { ...session.principal, issuer, tenant: 'acme' } }) // a word of the test

function among(sessions: readonly Session[]): LookPorts {
  const byKey = new Map<string, Session>(sessions.map(each => [each.key, each]))
  const isUnder = (each: Session, { kind, value }: Selector): boolean => indexOf(each).some(known => known.kind === kind && known.value === value)
  return {
    mirror: { known: () => null },
    store: { find: async (selector, limit) => sessions.filter(each => isUnder(each, selector)).slice(0, limit).map(({ key }): RecordRef => sessionRef(key)), load: async ({ name }) => byKey.get(name) ?? null },
  }
}

const TENANT: Subject = [{ of: 'tenant', any: [{ kind: 'tenant', value: 'acme' }] }]
const spokenBy = (issuer: string): Subject => [...TENANT, { of: 'issuer', any: [{ kind: 'issuer', value: issuer }] }]
const large = Array.from({ length: LOOKED_AT }, (_, i) => of('https://large.test', i))
const small = Array.from({ length: 3 }, (_, i) => of('https://small.test', i))

test('[OUT2, OUT4] who speaks for few of a large tenant finds exactly those, wherever they lie in it, and holds nobody else', async () => {
  const ports = among([...large, ...small])
  expect(await meantBy(ports, { subject: spokenBy('https://small.test'), most: 3 })).toEqual({ is: 'found', sessions: small })
  expect(await meantBy(ports, { subject: spokenBy('https://small.test'), most: 2 })).toEqual({ is: 'tooMany', count: 3, under: [], sessions: small })
  expect(await meantBy(ports, { subject: spokenBy('https://nobody.test'), most: 2 })).toEqual({ is: 'found', sessions: [] })
})

test('[OUT4] what nobody can tell apart is held as a whole', async () => {
  expect(await meantBy(among([...large, ...small]), { subject: spokenBy('https://large.test'), most: 500 })).toEqual({ is: 'tooMany', count: LOOKED_AT, under: [{ kind: 'tenant', value: 'acme' }], sessions: [] })
})
