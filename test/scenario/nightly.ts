// The nightly job of S18 with what attests it: SVIDs of its mesh, projected tokens of its cluster, an operator's word on its window. For tests only.
import { ClientAuthority, type Leaf, svidLeaf } from '../support/tls.ts'
import { TokenIssuer } from '../support/token-issuer.ts'
import { type Caller, elevatedAt, keySetOf, type Said, sessionAt, type Setting } from './callers.ts'
import { asHolder } from './operators.ts'
import { bearer, type Headers, type Line, type Staging, word } from './stage.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const OVERRIDE = '/v1/windows/nightly/override'

export const HOST: Headers = { host: 'tools.internal' }
export const NIGHTLY = 'spiffe://acme.example/ns/jobs/sa/svc-nightly'
export const OTHER = 'spiffe://acme.example/ns/jobs/sa/svc-report'

const time = (at: number): string => new Date(at).toISOString()

export class Nightly {
  readonly mesh: ClientAuthority
  readonly cluster: TokenIssuer

  private constructor(mesh: ClientAuthority, cluster: TokenIssuer) {
    this.mesh = mesh
    this.cluster = cluster
  }

  static async make(): Promise<Nightly> {
    const [mesh, cluster] = await Promise.all([ClientAuthority.create('Acme mesh'), TokenIssuer.create({ issuer: 'https://kubernetes.acme.example', algorithm: 'ES256' })])
    return new Nightly(mesh, cluster)
  }

  get staging(): Staging { return { clientsCaFile: this.mesh.cert.certFile, keySets: { cluster: keySetOf(this.cluster) } } }

  /** @param ago when it was issued, in minutes */
  svid(id: string, ago: number, authority = this.mesh): Promise<Leaf> {
    return authority.issue({ subject: '/O=Acme', extensions: svidLeaf(id), from: new Date(Date.now() - ago * MINUTE) })
  }

  async certified(id: string, ago: number, authority = this.mesh): Promise<Caller> {
    return { leaf: await this.svid(id, ago, authority), headers: HOST }
  }

  /** A projected token of one pod of an account, issued at that time. */
  async projected(uid: string, issuedAt: number, account = 'svc-nightly'): Promise<Caller> {
    const claims = { 'kubernetes.io': { namespace: 'jobs', serviceaccount: { name: account, uid: `u-${account}` }, pod: { name: `${account}-0`, uid } }, jti: Math.random().toString(36) }
    const token = await this.cluster.sign({ sub: `system:serviceaccount:jobs:${account}`, client_id: undefined, aud: ['narrowgate'], ...claims }, { header: { typ: undefined }, now: issuedAt, lifetime: 3600 })
    return { leaf: null, headers: bearer(token, HOST) }
  }
}

/** A run asks for the tools, and both gateways know of it. */
async function asksForTools({ a, b }: Setting, run: Caller): Promise<void> {
  await elevatedAt(a, run, { profile: 'nightly' })
  await sessionAt(b, run)
}

/** It is night from here on, whatever the calendar has, by an operator's word on A; and a run is at work. */
export async function nightBegins(setting: Setting, run: Caller): Promise<void> {
  await word(setting.a, OVERRIDE, { from: time(Date.now() - 1_000), until: time(Date.now() + HOUR) })
  await asksForTools(setting, run)
}

/** It is day from here on, and the run waits for the next night; what the operator was told. */
export async function dayBegins(setting: Setting, run: Caller): Promise<Line> {
  const { json } = await word(setting.a, OVERRIDE, { until: 'now' })
  await asksForTools(setting, run)
  return json
}

/** What a refusal says has to be shown anew. */
export const challengeIn = ({ json }: Pick<Said, 'json'>): Line => {
  const { step_up: challenge } = json
  if (challenge === undefined) throw new Error(`no challenge: ${JSON.stringify(json)}`)
  return challenge as Line // an object wherever it is there
}

/** The word of whoever holds this token on a step-up; the status of the answer. */
export const confirms = async (gate: Setting['a'], token: string, id: unknown): Promise<number> => (await asHolder(gate, token, `/v1/step-ups/${String(id)}/approve`)).status
