// Emergencies: taken at once, told loudly, looked at afterwards or missed. What an end leaves behind. Who is told of what.
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { eventually } from '../support/redis-server.ts'
import { ApprovalsGate } from './approvals-gate.ts'

type Json = Readonly<Record<string, unknown>>
type Hook = { readonly url: string; readonly heard: readonly Json[]; readonly ids: readonly string[]; readonly server: Server }

const closing: (() => unknown)[] = []
afterEach(async () => { for (const close of closing.splice(0).reverse()) await close() })

async function hooked(): Promise<Hook> {
  const [heard, ids]: [Json[], string[]] = [[], []]
  const server = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk: Buffer) => { text += chunk.toString() })
    request.on('end', () => {
      heard.push(JSON.parse(text) as Json) // our own notices are objects
      ids.push(String(request.headers['webhook-id']))
      response.writeHead(204).end()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  closing.push(() => { server.close(); server.closeAllConnections() })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, heard, ids, server } // it listens on a port
}

async function own(more: Parameters<typeof ApprovalsGate.open>[0] = {}): Promise<ApprovalsGate> {
  const made = await ApprovalsGate.open(more)
  closing.push(() => made.close())
  return made
}

const reviewsOf = async (gate: ApprovalsGate, query = ''): Promise<readonly Json[]> => (await gate.operate('operator', 'GET', `/v1/reviews${query}`)).json['reviews'] as readonly Json[] // a list by the contract
const verdict = (gate: ApprovalsGate, person: Parameters<ApprovalsGate['operate']>[0], id: string, given: 'accepted' | 'rejected') => gate.operate(person, 'POST', `/v1/reviews/${id}`, { verdict: given, reason: 'looked at it' })
const changes = (gate: ApprovalsGate, token: string): Promise<number> => gate.gate.ask('DELETE', '/x', { authorization: `Bearer ${token}` }).then(({ status }) => status)
/** Another emergency has the keeper look at what is due. */
const looksAgain = async (gate: ApprovalsGate, as: string): Promise<string> => gate.asked(await gate.caller(as), 'emergency')

describe('an emergency', () => {
  test('[APR7] is taken at once and told loudly: metric, trail, notice, and a review that waits', async () => {
    const hook = await hooked()
    const gate = await own({ hook: hook.url })
    const token = await gate.caller('a')
    const id = await gate.asked(token, 'emergency')
    expect([await gate.state(id), await changes(gate, token)]).toEqual(['active', 200])
    expect(await gate.metric('break_glass_elevations_total')).toBe('narrowgate_break_glass_elevations_total{profile="emergency"} 1')
    expect(await gate.gate.trail()).toContainEqual(expect.objectContaining({ action: 'break_glass.activated', target: id, note: 'INC-1' }))
    expect(await reviewsOf(gate)).toMatchObject([{ elevation: id, profile: 'emergency', verdict: 'pending', by: null, dueAt: expect.any(String) }])
    await eventually('the notice', 5_000, async () => (hook.heard.length > 0 ? true : null))
    expect(hook.heard).toMatchObject([{ type: 'break_glass.activated', data: { elevation: id, link: `https://gate.example/console/elevations/${id}`, reason: 'INC-1' } }])
  })

  test('[APR7, APR2] is reviewed once, by an approver who is none of those who took it', async () => {
    const gate = await own()
    const id = await gate.asked(await gate.caller('dana'), 'emergency')
    expect([(await verdict(gate, 'dana', id, 'accepted')).status, (await verdict(gate, 'operator', id, 'accepted')).status, (await verdict(gate, 'ann', 'elv_aaaaaaaaaaaaaaaaaaaaaaaaaa', 'accepted')).status]).toEqual([403, 403, 404])
    expect((await verdict(gate, 'ann', id, 'accepted')).status).toBe(200)
    expect((await verdict(gate, 'bob', id, 'accepted')).status).toBe(409)
    expect([await gate.state(id), await reviewsOf(gate), await reviewsOf(gate, '?verdict=accepted')]).toMatchObject(['active', [], [{ elevation: id, by: 'ops|ann' }]])
  })

  test('[APR7] one that is rejected ends where it still runs', async () => {
    const gate = await own()
    const token = await gate.caller('b')
    const id = await gate.asked(token, 'emergency')
    expect((await verdict(gate, 'ann', id, 'rejected')).status).toBe(200)
    expect([await gate.state(id), await changes(gate, token)]).toEqual(['ended approval_withdrawn', 403])
  })

  test('[APR7] one that nobody looked at in time alarms once, locks where it says so, and may be reviewed late', async () => {
    const hook = await hooked()
    const gate = await own({ hook: hook.url })
    const [token, other] = [await gate.caller('c'), await gate.caller('d')]
    const [id, mild] = [await gate.asked(token, 'lastly'), await gate.asked(other, 'emergency')]
    gate.clock.shift += 61_000
    const [next] = [await looksAgain(gate, 'e')]
    await eventually('both were missed', 5_000, async () => ((await reviewsOf(gate, '?verdict=missed')).length === 2 ? true : null))
    await eventually('it was told', 5_000, async () => (hook.heard.filter(({ type }) => type === 'break_glass.review_missed').length === 2 ? true : null))
    expect([await changes(gate, token), await changes(gate, other)]).toEqual([403, 200])
    const locks = (await gate.operate('operator', 'GET', '/v1/locks')).json['locks'] as readonly Json[] // a list by the contract
    expect(locks).toMatchObject([{ effect: 'deny', by: 'reviews', note: `nobody reviewed ${id} in time` }])
    const again = await looksAgain(gate, 'f')
    await eventually('it was looked at again', 5_000, async () => ((await reviewsOf(gate)).some(({ elevation }) => elevation === again) ? true : null))
    expect((await gate.metric('break_glass_reviews_missed_total')).split('\n').toSorted()).toEqual(['narrowgate_break_glass_reviews_missed_total{profile="emergency"} 1', 'narrowgate_break_glass_reviews_missed_total{profile="lastly"} 1'])
    expect((await gate.gate.trail()).filter(({ action }) => action === 'break_glass.review_missed').map(({ target }) => String(target)).toSorted()).toEqual([id, mild].toSorted())
    expect([(await verdict(gate, 'ann', mild, 'accepted')).status, (await verdict(gate, 'ann', mild, 'rejected')).status, next.length]).toEqual([200, 409, 30])
  })

  test('[APR7] four that nobody has looked at are the most of one caller, in all its sessions', async () => {
    const gate = await own()
    const tokens = await Promise.all(['g', 'g', 'g', 'g', 'g'].map(sub => gate.caller(sub)))
    const ids: string[] = []
    for (const token of tokens.slice(0, 4)) ids.push(await gate.asked(token, 'emergency'))
    const fifth = await gate.ask(tokens[4] ?? '', 'emergency')
    expect([fifth.status, fifth.json['reason'], (await gate.ask(await gate.caller('h'), 'emergency')).status]).toEqual([403, 'limit_reached', 201])
    await verdict(gate, 'ann', ids[0] ?? '', 'accepted')
    expect((await gate.ask(tokens[4] ?? '', 'emergency')).status).toBe(201)
  })

  test('[APR7] what waits for its review is known after a restart: it is missed then', async () => {
    const gate = await own()
    const id = await gate.asked(await gate.caller('i'), 'lastly')
    const again = await gate.restarted(61_000)
    closing.push(() => again.close())
    await eventually('it was missed', 5_000, async () => ((await reviewsOf(again, '?verdict=missed')).some(({ elevation }) => elevation === id) ? true : null))
    expect(((await again.operate('operator', 'GET', '/v1/locks')).json['locks'] as readonly Json[]).length).toBe(1) // a list by the contract
  })
})

describe('what an end leaves behind', () => {
  test('[ELV11] the pause belongs to the principal: in another session, and at once', async () => {
    const gate = await own()
    const [token, other, stranger] = [await gate.caller('j'), await gate.caller('j'), await gate.caller('k')]
    const id = await gate.asked(token, 'rests')
    expect((await gate.release(token, id)).status).toBe(200)
    const own1 = await gate.ask(token, 'rests')
    expect([own1.status, own1.json['reason']]).toEqual([403, 'cooling_down'])
    await eventually('the pause is known', 5_000, async () => ((await gate.ask(other, 'rests', { dryRun: true })).json['reason'] === 'cooling_down' ? true : null))
    expect((await gate.ask(stranger, 'rests')).status).toBe(201)
    gate.clock.shift += 3_601_000
    expect((await gate.ask(other, 'rests')).status).toBe(201)
  })

  test('[ELV12] a resource is held by one, and free as soon as that one has ended', async () => {
    const gate = await own()
    const [token, other] = [await gate.caller('l'), await gate.caller('m')]
    const id = await gate.asked(token, 'alone', { params: { host: 'db-1' } })
    const held = await gate.ask(other, 'alone', { params: { host: 'db-1' } })
    expect([held.status, held.json['reason'], (await gate.ask(other, 'alone', { params: { host: 'db-2' } })).status]).toEqual([403, 'resource_held', 201])
    await gate.release(token, id)
    await eventually('it is free', 5_000, async () => ((await gate.ask(other, 'alone', { params: { host: 'db-1' } })).status === 201 ? true : null))
  })
})

test('[NOT1] channels are told what was asked, decided and ended, each thing once and with a link that opens nothing', async () => {
  const hook = await hooked()
  const gate = await own({ hook: hook.url })
  const token = await gate.caller('n')
  const [id, other] = [await gate.asked(token, 'told'), await gate.asked(token, 'told')]
  await gate.approve('ann', id)
  await gate.operate('bob', 'POST', `/v1/elevations/${other}/deny`, { reason: 'no' })
  await gate.release(token, id)
  await eventually('all of it', 5_000, async () => (hook.heard.length === 5 ? true : null))
  expect(hook.heard.map(({ type, data }) => `${String(type)} ${String((data as Json)['elevation'])}`).toSorted()).toEqual([`elevation.approved ${id}`, `elevation.denied ${other}`, `elevation.ended ${id}`, `elevation.requested ${id}`, `elevation.requested ${other}`].toSorted())
  expect(new Set(hook.ids).size).toBe(5)
  expect(hook.heard.every(({ data }) => (data as Json)['link'] === `https://gate.example/console/elevations/${String((data as Json)['elevation'])}`)).toBe(true)
  expect(JSON.stringify(hook.heard)).not.toContain('nga_')
})
