// The record of an admission as text: what many requests have alike (who asks, where it goes, what it stands on) is written once, for the object it
// is made of, and put together with what is the request's own. The record itself is defined in audit/record.ts. SPEC: AUD2
import { calledBy } from '../audit/called.ts'
import { type Admitted, type Json, noted, provedBy, queryDigest } from '../audit/record.ts'
import type { Elevation } from '../core/elevation.ts'
import type { Evidence } from '../core/evidence.ts'
import { grantName } from '../core/decision.ts'
import { chainOf, identityOf, type Principal } from '../core/principal.ts'
import { NOT_RISKED, type Risked } from '../core/risk.ts'
import type { Route, Rule } from '../core/route.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import type { Exchange } from './exchange.ts'

type Who = Pick<Admitted, 'session' | 'subject' | 'actors' | 'tenant' | 'credential'>
type Where = Pick<Admitted, 'route' | 'rule' | 'label' | 'upstream' | 'decision'>
type What = Pick<Admitted, 'grant' | 'elevation'>
/** All the rest. */
type Own = Omit<Admitted, 'exchange' | 'risk' | keyof Who | keyof Where | keyof What>

/** Names what an exchange is shown to its upstream by; null for nothing. */
export type CredentialOf = (exchange: Exchange) => string | null

export function whoOf(live: LiveSession | null, evidence: Evidence | null): Who {
  const principal = live?.record.principal ?? null
  const known = principal === null ? { subject: null, actors: [], tenant: '' } : { subject: identityOf(principal), actors: chainOf(principal), tenant: principal.tenant }
  return { session: live?.record.id ?? null, ...known, credential: evidence?.credential ?? null }
}

export const labelOf = (rule: Rule | null): Pick<Admitted, 'label'> => (rule?.label == null ? {} : { label: rule.label })

export const externalOf = ({ external }: Pick<Exchange, 'external'>): Pick<Admitted, 'external'> => (external === null || external.last === null ? {} : { external: external.last.noted })

export const calledOf = ({ place: { route: { mcp } }, evaluation: { action: { call } } }: Pick<Exchange, 'place' | 'evaluation'>): Pick<Admitted, 'mcp'> => (mcp == null || call == null ? {} : { mcp: calledBy(call, mcp) })

/** Members without the braces around them. */
const members = (part: Who | Where | What | Own): string => JSON.stringify(part).slice(1, -1)

const QUIET = JSON.stringify(noted(NOT_RISKED))
const riskText = (risk: Risked): string => (risk.before === 0 && risk.after === 0 && risk.level === null ? QUIET : JSON.stringify(noted(risk)))

export class AdmissionTexts {
  readonly #who = new WeakMap<Evidence, { readonly session: string | null; readonly principal: Principal | null; readonly text: string }>()
  /** By the rule's name. */
  readonly #where = new WeakMap<Route, Map<string, string>>()
  readonly #what = new WeakMap<Elevation, { readonly schedules: readonly string[]; readonly text: string }>()
  readonly #credentialOf: CredentialOf

  constructor(credentialOf: CredentialOf = () => null) {
    this.#credentialOf = credentialOf
  }

  of(exchange: Exchange): Json<'exchange.opened'> {
    const { id, permit, evaluation: { resource: { host, path, query }, action: { method }, context: { source, workload, purposes, body }, evidence } } = exchange
    const own: Own = { source, proved: provedBy(evidence?.keyThumbprint ?? null, workload, evidence?.device ?? null), method, host, path, queryDigest: queryDigest(query), bodyDigest: body?.digest ?? null, purposes, until: permit.until, would: permit.would }
    const { external } = externalOf(exchange)
    const mcp = exchange.place.route.mcp == null ? undefined : calledOf(exchange).mcp
    const called = mcp === undefined ? '' : `"mcp":${JSON.stringify(mcp)},`
    const said = external === undefined ? '' : `"external":${JSON.stringify(external)},` // most have none: a member that may be there makes every text slower
    const shown = exchange.place.route.brokered ? this.#credentialOf(exchange) : null
    const goes = shown === null ? '' : `"upstreamCredential":"${shown}",`
    return `{"exchange":"${id}",${this.#whoIs(exchange)},${members(own)},${called}${said}${goes}${this.#whereTo(exchange)},${this.#standsOn(exchange)},"risk":${exchange.live === null ? 'null' : riskText(exchange.risk)}}` as Json<'exchange.opened'> // all of it, exchange and session in front: what a run left open is read by them
  }

  #whoIs({ live, evaluation: { evidence } }: Exchange): string {
    if (evidence === null) return members(whoOf(live, null))
    const [session, principal] = live === null ? [null, null] : [live.record.id, live.record.principal]
    const known = this.#who.get(evidence)
    if (known !== undefined && known.session === session && known.principal === principal) return known.text
    const text = members(whoOf(live, evidence))
    this.#who.set(evidence, { session, principal, text })
    return text
  }

  #whereTo({ place: { route, rule } }: Exchange): string {
    const name = rule?.name ?? ''
    let ofRules = this.#where.get(route)
    if (ofRules === undefined) this.#where.set(route, (ofRules = new Map()))
    let text = ofRules.get(name)
    if (text === undefined) ofRules.set(name, (text = members({ route: route.name, rule: name, ...labelOf(rule), upstream: route.upstream, decision: 'permit' })))
    return text
  }

  #standsOn({ permit: { grant } }: Exchange): string {
    if (grant.is !== 'elevation') return members({ grant: grantName(grant), elevation: null })
    const { elevation, schedules } = grant
    const known = this.#what.get(elevation)
    if (known?.schedules === schedules) return known.text
    const text = members({ grant: grantName(grant), elevation: { id: elevation.id, profile: elevation.profile, schedules } })
    this.#what.set(elevation, { schedules, text })
    return text
  }
}
