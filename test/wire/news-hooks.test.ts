// Changes in trust that a signed message of a webhook tells of, as callers feel them: whom it means is held or out, nobody else; over real sockets.
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { bearer, EMBEDDED, outcomeAt, type Stage } from '../contract/outside-stage.ts'
import type { TestGateway } from '../support/gateway.ts'
import { eventually } from '../support/redis-server.ts'
import { deliver, WEBHOOK_SECRET } from '../support/ticket-source.ts'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

const EVENTS = 'events: { left: { do: [terminate] }, infected: { do: [freeze, notify] } }'
const MAP = 'event: body.kind, id: body.id, issuer: body.issuer, subject: body.user, tenant: body.org, device: body.device, session: body.session'

async function started(webhook = `map: { ${MAP} }, ${EVENTS}, notify: [oncall]`, channel = 'http://127.0.0.1:1/'): Promise<{ readonly gate: TestGateway; readonly facts: Stage['facts']; readonly port: number }> {
  const directory = mkdtempSync(join(tmpdir(), 'ng-news-'))
  writeFileSync(join(directory, 'secret'), WEBHOOK_SECRET, { mode: 0o600 })
  const stage = await EMBEDDED.raise(`signals: { webhooks: [{ name: siem, kind: signal, secretFile: ${directory}/secret, ${webhook} }] }\nnotify: { oncall: { webhook: { url: "${channel}", secretFile: ${directory}/secret } } }`)
  closing.push(() => stage.stop())
  return { gate: stage.a, facts: stage.facts, port: stage.a.gateway.front.bound.get('news')?.address.port ?? 0 }
}

const NOBODY_ELSE = { org: '', device: '', session: '' }
let told = 0
const message = (gate: TestGateway, kind: string, user: string, more: object = {}) => ({ kind, id: `n-${++told}`, issuer: gate.issuer.issuer, user, ...NOBODY_ELSE, ...more })
const becomes = (gate: TestGateway, headers: { readonly [name: string]: string }, outcome: RegExp): Promise<unknown> => eventually(`it is ${outcome.source}`, 5_000, async () => (outcome.test(await outcomeAt(gate, headers)) ? true : null))
const counted = async (gate: TestGateway, metric: string, labels: string): Promise<number> => Number(new RegExp(`narrowgate_${metric}\\{${labels}\\} (\\d+)`).exec((await gate.ops('/metrics')).text)?.[1] ?? 0)

describe('a signed message that tells of trust', () => {
  test('[OUT9, OUT3] ends the sessions of whom it names, and of nobody else; once, however often it comes', async () => {
    const { gate, facts, port } = await started()
    const [eve, bob] = [await bearer(gate, { sub: 'eve' }), await bearer(gate, { sub: 'bob' })]
    for (const token of [eve, bob]) expect(await outcomeAt(gate, token)).toBe('200')
    const left = message(gate, 'left', 'eve')
    expect(await deliver(port, 'siem', left)).toBe(202)
    await becomes(gate, eve, /^401/)
    expect(await deliver(port, 'siem', left)).toBe(200)
    expect(await outcomeAt(gate, bob)).toBe('200')
    expect((await facts()).filter(({ what }) => what === 'session.revoked')).toEqual([expect.objectContaining({ by: 'signals:siem', reason: 'revoked_outside' })])
    expect([await counted(gate, 'hooks_received_total', 'source="siem",outcome="taken"'), await counted(gate, 'hooks_received_total', 'source="siem",outcome="again"'), await counted(gate, 'outside_events_total', 'source="siem",outcome="acted"')]).toEqual([1, 1, 1])
  })

  test('[OUT9, OUT2] that names a user and a device means what that user does on it; a device alone what anybody does on it', async () => {
    const { gate, port } = await started()
    const tokens = [await bearer(gate, { sub: 'eve', device: 'd1' }), await bearer(gate, { sub: 'eve', device: 'd2', sid: '2' }), await bearer(gate, { sub: 'bob', device: 'd1' })]
    for (const token of tokens) expect(await outcomeAt(gate, token)).toBe('200')
    expect(await deliver(port, 'siem', message(gate, 'infected', 'eve', { device: 'd1' }))).toBe(202)
    await becomes(gate, tokens[0] ?? {}, /frozen/)
    expect(await Promise.all(tokens.map(token => outcomeAt(gate, token)))).toEqual(['403 frozen', '200', '200'])
    expect(await deliver(port, 'siem', message(gate, 'infected', '', { device: 'd1' }))).toBe(202)
    await becomes(gate, tokens[2] ?? {}, /frozen/)
  })

  test('[OUT9, NOT1] is told to the channels of its webhook where what follows says so', async () => {
    const heard: Record<string, unknown>[] = []
    const hook = createServer((request, response) => {
      let text = ''
      request.on('data', (chunk: Buffer) => { text += chunk.toString() })
      request.on('end', () => {
        heard.push(JSON.parse(text) as Record<string, unknown>) // a notice is an object
        response.writeHead(204).end()
      })
    }).listen(0, '127.0.0.1')
    await once(hook, 'listening')
    closing.push(async () => { hook.closeAllConnections(); hook.close() })
    const { gate, port } = await started(`map: { ${MAP} }, ${EVENTS}, notify: [oncall], maxSessionsPerEvent: 1`, `http://127.0.0.1:${(hook.address() as AddressInfo).port}/`) // it listens on a port
    const tokens = [await bearer(gate, { sub: 'eve' }), await bearer(gate, { sub: 'bob', sid: '1' }), await bearer(gate, { sub: 'bob', sid: '2' })]
    for (const token of tokens) expect(await outcomeAt(gate, token)).toBe('200')
    expect(await deliver(port, 'siem', message(gate, 'infected', 'eve'))).toBe(202)
    expect(await deliver(port, 'siem', message(gate, 'left', 'bob'))).toBe(202)
    await eventually('both are told', 5_000, async () => (heard.length === 2 ? true : null))
    expect(new Map(heard.map(({ type, data }) => [type, (data as Record<string, unknown>)['outcome']]))).toEqual(new Map([['outside.acted', 'acted'], ['outside.withheld', 'withheld']])) // likewise
    expect(await Promise.all(tokens.map(token => outcomeAt(gate, token)))).toEqual(['403 frozen', '403 frozen', '403 frozen'])
  })

  test('[OUT9] that is forged, names nobody, cannot be read or is of an event nobody configured does nothing, and is counted', async () => {
    const { gate, facts, port } = await started()
    const eve = await bearer(gate, { sub: 'eve' })
    expect(await outcomeAt(gate, eve)).toBe('200')
    expect(await deliver(port, 'siem', message(gate, 'left', 'eve'), { secret: 'another secret of the same length' })).toBe(401)
    expect(await deliver(port, 'siem', message(gate, 'left', 'eve'), { at: Date.now() - 301_000 })).toBe(401)
    expect(await deliver(port, 'siem', message(gate, 'left', ''))).toBe(400)
    expect(await deliver(port, 'siem', message(gate, 'left', ' eve'))).toBe(400)
    expect(await deliver(port, 'siem', { ...message(gate, 'left', 'eve'), device: 7 })).toBe(400)
    expect(await deliver(port, 'siem', { ...message(gate, 'left', 'eve'), id: '' })).toBe(400)
    expect(await deliver(port, 'siem', { ...message(gate, 'left', 'eve'), session: undefined })).toBe(400)
    expect(await deliver(port, 'siem', message(gate, 'joined', 'eve'))).toBe(204)
    expect(await outcomeAt(gate, eve)).toBe('200')
    expect((await facts()).filter(({ kind }) => kind === 'event')).toEqual([])
    expect([await counted(gate, 'hooks_received_total', 'source="siem",outcome="unsigned"'), await counted(gate, 'hooks_received_total', 'source="siem",outcome="malformed"'), await counted(gate, 'hooks_received_total', 'source="siem",outcome="unchanged"')]).toEqual([2, 5, 1])
  })

  test('[OUT9] of a signature that tells no time is refused where what it tells of is not of now', async () => {
    const { gate, port } = await started(`map: { ${MAP}, at: body.at }, ${EVENTS}, notify: [oncall], signature: { header: x-signature }`)
    const eve = await bearer(gate, { sub: 'eve', iat: Math.floor(Date.now() / 1_000) - 900 })
    expect(await outcomeAt(gate, eve)).toBe('200')
    const send = (at: number): Promise<number> => {
      const body = JSON.stringify(message(gate, 'left', 'eve', { at: new Date(at).toISOString() }))
      return deliver(port, 'siem', null, { body, headers: { 'x-signature': createHmac('sha256', WEBHOOK_SECRET).update(body).digest('hex') } })
    }
    expect(await send(Date.now() - 600_000)).toBe(401)
    expect(await outcomeAt(gate, eve)).toBe('200')
    expect(await send(Date.now())).toBe(202)
    await becomes(gate, eve, /^401/)
  })

  test('[OUT9] that is one too many in its second is told to come again before its signature is looked at', async () => {
    const { gate, port } = await started(`map: { ${MAP} }, ${EVENTS}, notify: [oncall], perSecond: 1`)
    const answers: number[] = []
    for (let i = 0; i < 12; i++) answers.push(await deliver(port, 'siem', message(gate, 'left', 'nobody'), { secret: 'another secret of the same length' }))
    expect(answers.slice(0, 10)).toEqual(Array(10).fill(401))
    expect(answers).toContain(429)
  })
})
