// The decisions of the AuthZEN interop scenarios, as published: a gateway whose routes ask a policy decision point that knows them lets through exactly what
// they allow. SPEC: PEP1, PEP2
import { afterAll, beforeAll, expect, test } from 'vitest'
import { AuthzenPdp, decidesBy, INTEROP_FILES, type InteropCase, interopCases, ownerOf } from '../support/authzen-pdp.ts'
import { type Answer, TestGateway } from '../support/gateway.ts'

let pdp: AuthzenPdp
let gate: TestGateway

beforeAll(async () => {
  pdp = await AuthzenPdp.start()
  gate = await TestGateway.start({
    more: `pdps: { interop: { url: "${pdp.url}", timeout: 2s } }`,
    routes: `
- name: gateway
  match: { host: gateway.test }
  upstream: api
  decision: { pdp: interop, subject: { type: "'identity'" } }
  rules:
    - { allow: { methods: [GET], paths: ["/users/{userId}"] } }
    - { allow: { methods: [GET, POST], paths: [/todos] } }
    - { allow: { methods: [PUT, DELETE], paths: ["/todos/{todoId}"] } }
- name: todo
  match: { host: todo.test }
  upstream: api
  decision: { pdp: interop, subject: { type: "'user'" }, action: { name: "'can_read_todos'" }, resource: { type: "'todo'", id: "'todo-1'" } }
  rules:
    - { allow: { methods: [GET], paths: ["/users/{userId}"] }, decision: { pdp: interop, subject: { type: "'user'" }, action: { name: "'can_read_user'" }, resource: { type: "'user'", id: path.userId } } }
    - { allow: { methods: [GET], paths: [/todos] } }
    - { allow: { methods: [POST], paths: [/todos] }, decision: { pdp: interop, subject: { type: "'user'" }, action: { name: "'can_create_todo'" }, resource: { type: "'todo'", id: "'todo-1'" } } }
    - allow: { methods: [PUT], paths: ["/todos/{todoId}"] }
      inspect: json
      decision: { pdp: interop, subject: { type: "'user'" }, action: { name: "'can_update_todo'" }, resource: { type: "'todo'", id: path.todoId, properties: { ownerID: body.ownerID } } }
    - allow: { methods: [DELETE], paths: ["/todos/{todoId}"] }
      decision: { pdp: interop, subject: { type: "'user'" }, action: { name: "'can_delete_todo'" }, resource: { type: "'todo'", id: path.todoId, properties: { ownerID: "request.queryValues['owner'][0]" } } }`,
  })
})
afterAll(async () => {
  await gate.stop()
  await pdp.close()
})

type Sent = readonly [method: string, path: string, body: string]

/** The request of the scenario that its application would send. */
function sent({ request: { action: { name }, resource } }: InteropCase): Sent {
  const { id } = resource
  const owner = ownerOf(resource) ?? ''
  switch (name) {
    case 'can_read_user': return ['GET', `/users/${encodeURIComponent(id)}`, '']
    case 'can_read_todos': return ['GET', '/todos', '']
    case 'can_create_todo': return ['POST', '/todos', '']
    case 'can_update_todo': return ['PUT', `/todos/${id}`, JSON.stringify({ ownerID: owner })]
    case 'can_delete_todo': return ['DELETE', `/todos/${id}?owner=${encodeURIComponent(owner)}`, '']
    default: return [name, id.replace(/\{\w+\}/, 'one'), ''] // of the gateway itself
  }
}

async function asks(each: InteropCase): Promise<Answer> {
  const [method, path, body] = sent(each)
  const { subject } = each.request
  const token = await gate.token({ sub: subject.id, sid: subject.id })
  const host = subject.type === 'identity' ? 'gateway.test' : 'todo.test'
  return gate.ask(method, path, { host, authorization: `Bearer ${token}`, ...(body === '' ? {} : { 'content-type': 'application/json' }) }, body)
}

test.each(INTEROP_FILES)('[PEP1, PEP2] %s: every case is allowed or denied as published, and nothing of what is denied reaches the upstream', async file => {
  const cases = interopCases(file)
  pdp.say = decidesBy(cases)
  expect(cases.length).toBeGreaterThan(20)
  expect(new Set(cases.map(({ expected }) => expected))).toEqual(new Set([true, false]))
  for (const each of cases) {
    const [before, questions] = [gate.upstream.requests.length, pdp.asked.length]
    const { status, json } = await asks(each)
    const named = JSON.stringify(each.request)
    expect([status, json['reason']], named).toEqual(each.expected ? [200, undefined] : [403, 'external_denied'])
    expect(gate.upstream.requests.length - before, named).toBe(each.expected ? 1 : 0)
    expect(pdp.asked.length - questions, named).toBe(1)
  }
})
