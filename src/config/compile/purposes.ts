// Where requests show what they are for. SPEC: CFG3, PUR1
import { PURPOSE_KINDS, type PurposeKind } from '../../core/purpose.ts'
import type { PurposeSource } from '../../core/policy.ts'
import type { SignedPurposeSettings } from '../settings.ts'
import { type Compilation, existing } from './context.ts'

/** Headers that mean something else to HTTP or to the gateway. */
const TAKEN = /^(authorization|cookie|host|connection|content-.*|transfer-encoding|te|trailer|upgrade|expect|keep-alive|proxy-.*|forwarded|x-forwarded-.*)$/

/** Also one that is wrong: that is said where it is written. */
const isWritten = ({ tickets, signals }: Compilation['config'], source: string): boolean => Object.hasOwn(tickets, source) || signals.webhooks?.some(({ name }) => name === source) === true

export function purposesOf({ config, report }: Compilation): ReadonlyMap<PurposeKind, PurposeSource> {
  const sources = new Map<PurposeKind, PurposeSource>()
  const headers = new Map<string, PurposeKind>()
  for (const kind of PURPOSE_KINDS) {
    const written = config.purposes[kind]
    if (written === undefined) continue
    const { claim, signed } = written
    const header = written.header ?? signed?.header
    const source = written.source ?? null
    if ([written.header, claim, signed].filter(way => way !== undefined).length !== 1) report.errorAtKey(['purposes', kind], `the purpose '${kind}' needs exactly one of \`header\`, \`claim\` and \`signed\``)
    if (source !== null && source !== 'manual' && !isWritten(config, source)) report.error(['purposes', kind, 'source'], `there is no connector '${source}'`, 'add it to `tickets` or `signals.webhooks`, or write `manual`')
    if (header !== undefined) {
      const [other, place] = [headers.get(header), ['purposes', kind, ...(signed === undefined ? [] : ['signed']), 'header']]
      if (other !== undefined) report.error(place, `the header '${header}' shows '${other}' already`)
      if (TAKEN.test(header)) report.error(place, `the header '${header}' has another meaning`, 'use one of your own, such as narrowgate-ticket')
      headers.set(header, kind)
      sources.set(kind, { kind, source, from: signed === undefined ? { is: 'header', header } : { is: 'signed', header, claim: signed.claim ?? kind, line: signed.within ?? null } })
    } else if (claim !== undefined) sources.set(kind, { kind, source, from: { is: 'claim', claim } })
  }
  return sources
}

export function signedPurposesOf(c: Compilation): ReadonlyMap<PurposeKind, SignedPurposeSettings> {
  const found = new Map<PurposeKind, SignedPurposeSettings>()
  for (const kind of PURPOSE_KINDS) {
    const signed = c.config.purposes[kind]?.signed
    if (signed !== undefined) found.set(kind, { jwksFile: existing(c, ['purposes', kind, 'signed', 'jwksFile'], signed.jwksFile), audience: signed.audience ?? null })
  }
  return found
}
