// A timeline as text for people: one line for each record with time, what, who, reason, grant, route and bytes.
// SPEC: AUD10
import type { Matter } from '../core/anchor.ts'
import type { Fact } from '../core/fact.ts'
import type { Called } from './called.ts'
import type { Line, RiskNoted } from './record.ts'
import type { Timeline } from './timeline.ts'

type Words = readonly (string | false | null)[]

/** Text the caller may have chosen, without anything a terminal would obey. */
const plain = (text: string): string => text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\u{fffd}')
const named = (name: string, value: string | number | null): string | null => (value === null || value === '' ? null : `${name}=${value}`)

function ofFact(fact: Fact): Words {
  const elevation = 'elevation' in fact ? (typeof fact.elevation === 'string' ? fact.elevation : fact.elevation.id) : null
  const until = 'until' in fact && fact.until !== null ? new Date(fact.until).toISOString() : null
  return [
    fact.what, named('version', fact.version), named('by', fact.by), 'reason' in fact && named('reason', fact.reason), named('grant', elevation),
    'approver' in fact && named('approver', fact.approver), named('until', until), ...('matter' in fact && fact.matter?.is === 'principal' ? ofStanding(fact.matter) : []), 'taint' in fact && named('taint', fact.taint.name), named('because', fact.because), named('note', fact.note),
  ]
}

const points = (value: number): number => Math.round(value * 10) / 10

/** How far its principal is trusted from then on, and by what. */
function ofStanding({ level, taints }: Extract<Matter, { is: 'principal' }>): Words {
  const why = level === null ? [] : level.why.contributions.map(({ rule, points: added }) => `${rule}:${points(added)}`)
  const request = level === null ? null : level.why.request
  return [
    `level=${level === null ? 'none' : level.name}`, level !== null && `score=${points(level.score)}`, named('contributions', why.join(',')), request !== null && `request=${request.evaluation}`,
    request !== null && `${request.method} ${request.path}`, named('taints', taints.map(({ name }) => name).join(',')),
  ]
}

const riskWords = (risk: RiskNoted | undefined): Words => (risk == null || (risk.before === 0 && risk.after === 0) ? [] : [`risk=${risk.before}→${risk.after}`, named('level', risk.level ?? null)])

const called = (mcp: Called | undefined): Words => (mcp === undefined ? [] : [named('mcp', mcp.method), named('name', mcp.name), named('arguments', mcp.arguments)])

function ofLine(line: Line): Words {
  switch (line.kind) {
    case 'fact': return ofFact(line.fact)
    case 'exchange.opened':
    case 'request.intended':
      return [line.kind, line.exchange, named('by', line.subject), ...line.actors.map(actor => `for=${actor}`), named('grant', line.grant), named('route', `${line.route}/${line.rule}`), line.method, `${line.host}${line.path}`, ...called(line.mcp), named('would', line.would), ...riskWords(line.risk)]
    case 'exchange.closed':
      return [line.kind, line.exchange, named('status', line.status), named('reason', line.reason), named('grant', line.grant), `up=${line.bytesUp}`, `down=${line.bytesDown}`, `ms=${line.ms}`, !line.complete && 'incomplete']
    case 'exchange.cut':
    case 'exchange.frozen':
    case 'exchange.resumed':
    case 'exchange.regranted':
    case 'exchange.finishing':
      return [line.kind, line.exchange, named('reason', line.reason), named('grant', line.grant), named('because', line.because), named('latencyMs', line.latencyMs)]
    case 'recording.opened': return [line.kind, line.exchange, named('grant', line.grant)]
    case 'recording.bytes': return [line.kind, line.exchange, line.way]
    case 'recording.closed': return [line.kind, line.exchange, `up=${line.up.bytes}`, `down=${line.down.bytes}`]
    case 'recording.beat': return [line.kind, `open=${line.open}`]
    case 'exchange.lost': return [line.kind, line.exchange, 'the gateway died before its end was on record; when it ended is not known']
    case 'request.refused':
      return [line.kind, line.evaluation, named('by', line.subject), named('reason', line.reason), named('route', line.route && `${line.route}/${line.rule ?? '-'}`), line.method, `${line.host}${line.path}`, ...called(line.mcp), ...riskWords(line.risk)]
    case 'decision.given':
      return [line.kind, line.evaluation, named('to', line.pep), line.decision, named('by', line.subject), named('grant', line.grant), named('reason', line.reason), named('route', line.route && `${line.route}/${line.rule ?? '-'}`), line.method, `${line.host}${line.path}`]
    case 'credential.obtained': return [line.kind, line.credential, named('lease', line.lease), named('for', line.elevation ?? line.session), named('upstream', line.upstream)]
    case 'credential.revoked': return [line.kind, line.credential, named('lease', line.lease), `confirmed=${new Date(line.confirmedAt).toISOString()}`, `attempts=${line.attempts}`, `ms=${line.ms}`]
    case 'credential.not_revoked': return [line.kind, line.credential, named('lease', line.lease), line.because, `attempts=${line.attempts}`, `ms=${line.ms}`]
    case 'request.not_dispatched': return [line.kind, line.exchange, named('reason', line.reason)]
    case 'admin.changed': return [line.kind, named('by', line.who), line.action, line.target, named('note', line.note)]
    case 'config.loaded': return [line.kind, line.digest, named('by', line.by)]
    case 'gateway.started': return [line.kind, line.version, line.config, named('lost', line.lost ?? null)]
    case 'gateway.stopped': return [line.kind, named('reason', line.reason)]
    case 'rotated': return [line.kind, `from=${line.from.file}`]
    case 'tail.torn': return [line.kind, `bytes=${line.bytes}`]
    case 'records.lost': return [line.kind, `count=${line.count}`]
    case 'refusals.counted': return [line.kind, line.prefix, named('reason', line.reason), `count=${line.count}`]
  }
}

function exportLine(line: Line): string {
  const at = new Date(line.kind === 'fact' ? line.fact.at : line.at).toISOString()
  return plain([at, ...ofLine(line).filter(word => typeof word === 'string')].join(' '))
}

/** Ends with a line that says what is missing, where something is. */
export function exportSession({ lines, gap, left }: Timeline): string {
  const missing = gap === null ? [] : [`version ${gap.after + 1} is missing before ${gap.file} line ${gap.line}`]
  const more = left === 0 ? [] : [`${left} lines more`]
  return [...lines.map(exportLine), ...missing, ...more].map(text => `${text}\n`).join('')
}
