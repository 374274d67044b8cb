// Where requests show what they are for. SPEC: CFG3, PUR1
import { PURPOSE_KINDS, type PurposeKind } from '../../core/purpose.ts'
import type { PurposeSource } from '../../core/policy.ts'
import type { Compilation } from './context.ts'

/** Headers that mean something else to HTTP or to the gateway. */
const TAKEN = /^(authorization|cookie|host|connection|content-.*|transfer-encoding|te|trailer|upgrade|expect|keep-alive|proxy-.*|forwarded|x-forwarded-.*)$/

export function purposesOf({ config, report }: Compilation): ReadonlyMap<PurposeKind, PurposeSource> {
  const sources = new Map<PurposeKind, PurposeSource>()
  const headers = new Map<string, PurposeKind>()
  for (const kind of PURPOSE_KINDS) {
    const written = config.purposes[kind]
    if (written === undefined) continue
    const { header, claim } = written
    const manual = written.source === 'manual'
    if ((header === undefined) === (claim === undefined)) report.errorAtKey(['purposes', kind], `the purpose '${kind}' needs exactly one of \`header\` and \`claim\``)
    if (header !== undefined) {
      const other = headers.get(header)
      if (other !== undefined) report.error(['purposes', kind, 'header'], `the header '${header}' shows '${other}' already`)
      if (TAKEN.test(header)) report.error(['purposes', kind, 'header'], `the header '${header}' has another meaning`, 'use one of your own, such as narrowgate-ticket')
      headers.set(header, kind)
      sources.set(kind, { kind, from: { is: 'header', header }, manual })
    } else if (claim !== undefined) sources.set(kind, { kind, from: { is: 'claim', claim }, manual })
  }
  return sources
}
