// Whom a transmitter is asked to tell of: each caller with a session here, once, where it tells of nobody by itself.
import { afterEach, expect, test } from 'vitest'
import { instant } from '../../../../../src/core/time.ts'
import { Access, Caller } from '../../../../../src/signals/ssf/streams/access.ts'
import { type Metadata, metadataIn } from '../../../../../src/signals/ssf/streams/metadata.ts'
import { WantedSubjects, type Who } from '../../../../../src/signals/ssf/streams/wanted-subjects.ts'
import { NOW } from '../../../core/world.ts'
import { type Plan, Room } from './room.ts'

const WANTED: Plan = { settings: { addSubjects: true } }
let room: Room
afterEach(() => room.close())

const opened = (...names: readonly string[]): Promise<unknown> => Promise.all(names.map(name => room.world.opened(name, { issuedAt: instant(NOW) })))
const subjects = (): readonly unknown[] => room.transmitter.subjects.map(({ subject }) => (subject as { readonly sub: string }).sub).sort()
const adds = (): number => room.transmitter.askedFor('/subjects/add').length

test.each([['NONE'], [null]] as const)('[SSF11] each with a session here is asked for once where default_subjects is %s', async defaults => {
  room = await Room.start(WANTED, ({ conduct }) => { conduct.defaultSubjects = defaults })
  await opened('a', 'b', 'c')
  await expect.poll(subjects, { timeout: 5_000 }).toEqual(['a', 'b', 'c'])
  await opened('b')
  expect(room.transmitter.subjects.find(({ subject }) => (subject as { readonly sub: string }).sub === 'a')).toEqual({ stream_id: room.transmitter.stream.stream_id, subject: { format: 'iss_sub', iss: 'https://idp.test', sub: 'a' }, verified: true })
  expect(adds()).toBe(3)
})

test('[SSF11] of those who come, only whom it may speak of is asked for, and nobody where it tells of all', async () => {
  room = await Room.open()
  const { transmitter, http, world: { clock } } = room
  const tools = { http, clock, ca: null }
  const over = new AbortController()
  let looks = 0
  const metadata = async (): Promise<Metadata> => {
    looks++
    return metadataIn({ issuer: transmitter.issuer, add_subject_endpoint: `${transmitter.origin}/subjects/add`, default_subjects: looks > 1 ? 'ALL' : 'NONE' }, transmitter.issuer)
  }
  await fetch(`${transmitter.origin}/streams`, { method: 'POST', body: '{}' })
  const wanted = new WantedSubjects({ issuers: ['https://idp.test'], tenants: ['acme'] }, { caller: new Caller(new Access({ is: 'none' }, tools), tools), clock, metadata, stream: () => transmitter.stream.stream_id, all: () => [], failed: () => {} })
  const who = (subject: string, changes: Partial<Who> = {}): Who => ({ issuer: 'https://idp.test', subject, tenant: 'acme', ...changes })
  for (const each of [who('foreign', { issuer: 'https://another.test' }), who('elsewhere', { tenant: 'other' }), who('a'), who('b'), who('c')]) wanted.taken(each)
  const running = wanted.run(over.signal)
  await expect.poll(() => looks, { timeout: 5_000 }).toBe(3)
  over.abort()
  await running
  expect(subjects()).toEqual(['a'])
})

test('[SSF11] too many are asked for later, and one that it refuses is not asked for again', async () => {
  room = await Room.start(WANTED, ({ conduct }) => { conduct.defaultSubjects = 'NONE' })
  await expect.poll(() => room.transmitter.waiting, { timeout: 5_000 }).toBe(1)
  room.transmitter.conduct.subjectStatus = 429
  await opened('a')
  await expect.poll(adds, { timeout: 5_000 }).toBe(1)
  room.transmitter.conduct.subjectStatus = 404
  await expect.poll(adds, { timeout: 5_000 }).toBe(2)
  room.transmitter.conduct.subjectStatus = 200
  await opened('b')
  await expect.poll(subjects, { timeout: 5_000 }).toEqual(['b'])
})

test('[SSF11] a stream that is new is told of everybody again', async () => {
  room = await Room.start(WANTED, ({ conduct }) => { conduct.defaultSubjects = 'NONE' })
  await opened('a')
  await expect.poll(subjects, { timeout: 5_000 }).toEqual(['a'])
  room.transmitter.streams.clear()
  room.transmitter.releasePolls()
  await expect.poll(subjects, { timeout: 10_000 }).toEqual(['a', 'a'])
})
