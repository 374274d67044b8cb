// The decisions of the AuthZEN interop (test/cases/authzen), asked of our decision point under examples that state its scenarios. SPEC: PDP2, PDP3, PDP5, PDP6
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { asker, exampleWith, send } from '../support/decisions.ts'
import { TestGateway } from '../support/gateway.ts'
import { ClientAuthority, type Leaf, testAuthority } from '../support/tls.ts'

type Decision = { readonly decision: boolean }
type Cases = { readonly evaluation: readonly { readonly request: object; readonly expected: boolean }[]; readonly evaluations?: readonly { readonly request: object; readonly expected: readonly Decision[] }[] }

const casesOf = (file: string): Cases => JSON.parse(readFileSync(new URL(`../cases/authzen/${file}`, import.meta.url), 'utf8')) as Cases // the working group's own form

describe('the todo scenario', () => {
  let gate: TestGateway
  beforeAll(async () => {
    gate = await TestGateway.start({ routes: '', config: made => exampleWith('authzen-todo.yaml', made) })
  })
  afterAll(() => gate.stop())

  test.each([['todo-decisions-1_0-00.json', 40], ['todo-decisions-1_0-01.json', 40], ['todo-decisions-1_0-02.json', 40]])('[PDP2, PDP3] %s: each of its evaluations is decided as expected', async (file, count) => {
    const { evaluation } = casesOf(file)
    expect(evaluation).toHaveLength(count)
    for (const { request, expected } of evaluation) {
      const { status, json } = await asker(gate, 'todo-app').post('/access/v1/evaluation', request)
      expect({ request, status, decision: (json as Decision).decision }).toEqual({ request, status: 200, decision: expected })
    }
  })

  test('[PDP5] its evaluations at once are decided as expected, in their order', async () => {
    const { evaluations = [] } = casesOf('todo-decisions-1_0-02.json')
    expect(evaluations).toHaveLength(3)
    for (const { request, expected } of evaluations) {
      const { status, json } = await asker(gate, 'todo-app').post('/access/v1/evaluations', request)
      expect(status).toBe(200)
      expect((json as { evaluations: readonly Decision[] }).evaluations.map(({ decision }) => ({ decision }))).toEqual(expected)
    }
  })

  test('[PDP6] a search for actions finds what the evaluations allow, and nothing else', async () => {
    const search = async (subject: string, ownerID: string): Promise<unknown> => {
      const { json } = await asker(gate, 'todo-app').post('/access/v1/search/action', { subject: { type: 'user', id: subject }, resource: { type: 'todo', id: 'todo-1', properties: { ownerID } } })
      return (json as { results: readonly { name: string }[] }).results.map(({ name }) => name)
    }
    expect(await search('rick@the-citadel.com', 'morty@the-citadel.com')).toEqual(['can_create_todo', 'can_delete_todo', 'can_read_todos', 'can_read_user', 'can_update_todo'])
    expect(await search('morty@the-citadel.com', 'rick@the-citadel.com')).toEqual(['can_create_todo', 'can_read_todos', 'can_read_user'])
    expect(await search('beth@the-smiths.com', 'beth@the-smiths.com')).toEqual(['can_read_todos', 'can_read_user'])
  })
})

describe('the gateway scenario', () => {
  let gate: TestGateway
  let ca: string
  let edge: Leaf
  let stranger: Leaf
  const at = '/gateways/access/v1/evaluation'

  beforeAll(async () => {
    const [site, clients, others] = await Promise.all([testAuthority(), ClientAuthority.create('Clients'), ClientAuthority.create('Others')])
    ca = site.ca
    const named = (name: string) => ({ extensions: ['basicConstraints=critical,CA:FALSE', 'keyUsage=critical,digitalSignature', 'extendedKeyUsage=clientAuth', `subjectAltName=DNS:${name}`] })
    ;[edge, stranger] = [await clients.issue(named('edge.example')), await others.issue(named('edge.example'))]
    gate = await TestGateway.start({ routes: '', config: made => exampleWith('authzen-gateway.yaml', made, { server: site.server, clientsCaFile: clients.cert.certFile }) })
  })
  afterAll(() => gate.stop())

  const tls = ({ cert, key }: Partial<Leaf> = {}) => ({ ca, servername: 'localhost', ...(cert === undefined || key === undefined ? {} : { cert, key }) })
  const json = { 'content-type': 'application/json' }

  test('[PDP1, PDP2, PDP3] each of its evaluations is decided as expected, for a gateway known by its certificate', async () => {
    const { evaluation } = casesOf('api-gateway-decisions.json')
    expect(evaluation).toHaveLength(25)
    for (const { request, expected } of evaluation) {
      const answer = await send(gate, at, { tls: tls(edge), headers: json, body: JSON.stringify(request) })
      expect({ request, status: answer.status, decision: (answer.json as Decision).decision }).toEqual({ request, status: 200, decision: expected })
    }
  })

  test('[PDP1] a certificate of another authority, none, and one beside a wrong token are nobody’s', async () => {
    const body = JSON.stringify(casesOf('api-gateway-decisions.json').evaluation[0]?.request)
    expect((await send(gate, at, { tls: tls(stranger), headers: json, body })).status).toBe(401)
    expect((await send(gate, at, { tls: tls(), headers: json, body })).status).toBe(401)
    expect((await send(gate, at, { tls: tls(edge), headers: { ...json, authorization: 'Bearer nothing-that-anybody-would-know-here' }, body })).status).toBe(401)
  })

  test('[PDP1] what it says of itself is found by its identifier, and names what is served below it', async () => {
    const answer = await send(gate, '/.well-known/authzen-configuration/gateways', { method: 'GET', tls: tls() })
    expect(answer).toMatchObject({ status: 200, json: {
      policy_decision_point: 'https://pdp.example/gateways', access_evaluation_endpoint: 'https://pdp.example/gateways/access/v1/evaluation', access_evaluations_endpoint: 'https://pdp.example/gateways/access/v1/evaluations',
      search_subject_endpoint: 'https://pdp.example/gateways/access/v1/search/subject', search_resource_endpoint: 'https://pdp.example/gateways/access/v1/search/resource', search_action_endpoint: 'https://pdp.example/gateways/access/v1/search/action',
      capabilities: [], supported_obligations: ['step-up', 'custom'],
    } })
    for (const path of ['/.well-known/authzen-configuration', '/access/v1/evaluation', '/gatewayz/access/v1/evaluation', '/gateways/access/v1/evaluation/', '/']) expect((await send(gate, path, { tls: tls(edge), headers: json, body: '{}' })).status).toBe(404)
  })
})
