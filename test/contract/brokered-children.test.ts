// What a session opened under another one takes from it, and what a broker that loses a profile leaves to the sessions it opened: at the real listeners
// of a real gateway.
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { approves, asks, brokerPlan, identityOf, type Json, opened, opens, type Person, type Told } from '../support/brokers.ts'
import { TestGateway } from '../support/gateway.ts'
import { sessionsOf } from '../support/possession.ts'

let gate: TestGateway
beforeAll(async () => { gate = await TestGateway.start(await brokerPlan()) })
afterAll(() => gate.stop())

const auth = (token: string) => ({ authorization: `Bearer ${token}` })
const recordOf = (session: string) => gate.parts.mirror.byId(session)?.record
/** Of nobody's tenant, whoever the broker is. */
const worker = (more: Json = {}): Json => ({ subject: { kind: 'agent', subject: 'worker', ...more } })

async function opensNothing(asked: () => Promise<Told>, says: string): Promise<void> {
  const before = await sessionsOf(gate)
  const { status, json, text } = await asked()
  expect([status, json['reason'], json['detail'], text.includes('ngs_')]).toEqual([403, 'not_eligible', says, false])
  expect(await sessionsOf(gate)).toEqual(before)
}

describe('what a child is for', () => {
  test('[PUR4, SES21] all that its parent is for, down to its own children, whatever it names besides', async () => {
    const parent = await opened(gate, 'flows', { purpose: { task: 'T-1', run: '7' } })
    const child = await opened(gate, 'loose', { ...worker(), parent: parent.session, purpose: { run: '7', step: 's' } })
    expect(child.json['purpose']).toEqual({ task: 'T-1', run: '7', step: 's' })
    const last = await opened(gate, 'loose', { ...worker(), parent: child.session })
    expect(last.json['purpose']).toEqual({ task: 'T-1', run: '7', step: 's' })
    expect((await gate.ask('GET', '/x', { ...auth(last.token), 'x-task': 'T-2' })).json).toMatchObject({ reason: 'purpose_mismatch' })
    expect((await gate.ask('GET', '/x', auth(last.token))).status).toBe(200)
  })

  test('[PUR4, SES21] never another value of what its parent is for', async () => {
    const { session: parent } = await opened(gate, 'flows', { purpose: { task: 'T-1' } })
    await opensNothing(() => opens(gate, 'loose', { ...worker(), parent, purpose: { task: 'T-2' } }), 'the parent is for another task')
    const { session } = await opened(gate, 'loose', { ...worker(), parent })
    await opensNothing(() => opens(gate, 'loose', { ...worker(), parent: session, purpose: { task: 'T-2' } }), 'the parent is for another task')
  })

  test('[PUR4, SES21, ADM23] what opens one session only opens parts of it: children for the same, by the same broker, and nothing beside it', async () => {
    const task = { purpose: { task: 'once-c' } }
    const { session: parent } = await opened(gate, 'tasks', { ...worker(), ...task })
    expect((await opened(gate, 'tasks', { ...worker(), parent })).json['purpose']).toEqual(task.purpose)
    expect((await opens(gate, 'tasks', { ...worker(), parent, ...task })).status).toBe(201)
    expect((await opens(gate, 'tasks', { ...worker(), ...task })).status).toBe(409)
    const { session: other } = await opened(gate, 'loose', { ...worker(), ...task })
    expect((await opens(gate, 'tasks', { ...worker(), parent: other })).status).toBe(409)
  })

  test('[PUR4] under a session that is for nothing, what it names', async () => {
    const { id: parent } = await gate.session(await gate.token({ sub: 'lead' }))
    expect((await opened(gate, 'flows', { parent, purpose: { task: 'T-3' } })).json['purpose']).toEqual({ task: 'T-3' })
  })
})

describe('whose tenant a child is of', () => {
  test('[SES21, SES20] its parent’s, named or not, and no other', async () => {
    const { session: parent } = await opened(gate, 'flows')
    for (const more of [{}, { tenant: 'acme' }]) expect((await opened(gate, 'loose', { ...worker(more), parent })).json['principal']).toMatchObject({ tenant: 'acme' })
    await opensNothing(() => opens(gate, 'loose', { ...worker({ tenant: 'globex' }), parent }), 'the parent is of another tenant')
  })

  test('[SES20] what its broker may ask for is judged with the tenant that it takes over', async () => {
    const { session: parent } = await opened(gate, 'loose', worker({ tenant: 'globex' }))
    await opensNothing(() => opens(gate, 'flows', { ...worker(), parent }), 'flows may not ask for broker:flows|worker')
    const { session: own } = await opened(gate, 'flows')
    expect((await opens(gate, 'flows', { ...worker(), parent: own })).status).toBe(201)
  })

  test('[SES21] under a parent of no tenant, the one it names', async () => {
    const { session: parent } = await opened(gate, 'loose', worker())
    expect((await opened(gate, 'loose', { ...worker({ tenant: 'globex' }), parent })).json['principal']).toMatchObject({ tenant: 'globex' })
  })
})

describe('who approves nothing for a child', () => {
  const approve = (person: Person, elevation: unknown): Promise<Told> => approves(gate, person, elevation)
  const waitingOf = (json: Json): unknown => (json['elevations'] as readonly Json[])[0]?.['id'] // as the contract has it

  test('[APR2, SES21] the owner of its parent, and of what is above that', async () => {
    const { session: parent } = await opened(gate, 'flows', { subject: { kind: 'agent', subject: 'lead', tenant: 'acme', owner: identityOf('other') } })
    const { session: middle, json } = await opened(gate, 'flows', { parent, profiles: [{ profile: 'approved' }] })
    const { json: last } = await opened(gate, 'flows', { parent: middle, profiles: [{ profile: 'approved' }] })
    for (const told of [json, last]) {
      expect((await approve('other', waitingOf(told))).status).toBe(403)
      expect((await approve('approver', waitingOf(told))).status).toBe(200)
    }
  })

  test('[APR2, SES21] neither what the child asks for itself, nor what is asked on its behalf', async () => {
    const { session: parent } = await opened(gate, 'flows', { subject: { kind: 'agent', subject: 'lead', tenant: 'acme', owner: identityOf('other') } })
    const { session, token } = await opened(gate, 'flows', { parent })
    const own = await gate.ask('POST', '/.narrowgate/elevations', { ...auth(token), 'content-type': 'application/json' }, JSON.stringify({ profile: 'approved' }))
    expect(own.status).toBe(202)
    const filed = await asks(gate, 'operator', 'POST', '/v1/elevations', { session, profile: 'approved', reason: 'for it' })
    expect(filed.status).toBe(202)
    for (const id of [own.json['id'], filed.json['id']]) {
      expect((await approve('other', id)).status).toBe(403)
      expect((await approve('approver', id)).status).toBe(200)
    }
  })

  test('[APR2] the record names everyone above it once, and nobody where nothing is above', async () => {
    const { session: parent } = await opened(gate, 'flows', { subject: { kind: 'agent', subject: 'lead', tenant: 'acme', owner: 'dana' } })
    expect(recordOf(parent)?.brokered?.barred).toEqual([])
    const { session: child } = await opened(gate, 'flows', { parent })
    const named = ['broker:flows|lead', identityOf('flows'), 'dana', 'broker:flows|dana']
    expect(recordOf(child)?.brokered?.barred).toEqual(named)
    const { session: last } = await opened(gate, 'flows', { parent: child })
    expect(recordOf(last)?.brokered?.barred.toSorted()).toEqual([...named, 'broker:flows|triage'].toSorted())
  })
})

test('[ELV1, SES20, CFG10] what its broker does not list any more a session may neither ask for nor see offered, until it is listed again', async () => {
  const { session, token } = await opened(gate, 'loose', worker())
  const before = readFileSync(gate.configFile, 'utf8')
  const reload = async (text: string): Promise<void> => {
    writeFileSync(gate.configFile, text)
    expect((await asks(gate, 'admin', 'POST', '/v1/config/reload', {})).status).toBe(200)
  }
  const own = () => gate.ask('POST', '/.narrowgate/elevations', { ...auth(token), 'content-type': 'application/json' }, JSON.stringify({ profile: 'fix', dryRun: true }))
  const filed = () => asks(gate, 'operator', 'POST', '/v1/elevations', { session, profile: 'fix', reason: 'for it', dryRun: true })
  const offered = async (): Promise<readonly boolean[]> =>
    [(await gate.ask('GET', '/.narrowgate/profiles', auth(token))).text, (await gate.ask('DELETE', '/x', auth(token))).text].map(text => text.includes('"fix"'))
  const told = async () => [(await own()).status, (await filed()).status, ...(await offered())]
  expect(await told()).toEqual([200, 200, true, true])
  for (const listed of ['', 'profiles: [other], ']) {
    await reload(before.replace('profiles: [fix], max: 2h', `${listed}max: 2h`))
    expect([listed, ...(await told())]).toEqual([listed, 403, 403, false, false])
  }
  await reload(before.replace('  loose: {', '  gone: {'))
  expect((await filed()).status).toBe(403)
  await reload(before)
  expect(await told()).toEqual([200, 200, true, true])
})
