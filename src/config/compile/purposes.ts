// Where requests show what they are for. SPEC: CFG3, PUR1
import { PURPOSE_KINDS, type PurposeKind } from '../../core/purpose.ts'
import type { PurposeSource } from '../../core/policy.ts'
import type { SignedPurposeSettings } from '../settings.ts'
import type { Path } from '../source-map.ts'
import { type Compilation, existing } from './context.ts'

/** Headers that mean something else to HTTP or to the gateway. */
const TAKEN = /^(authorization|cookie|host|connection|content-.*|transfer-encoding|te|trailer|upgrade|expect|keep-alive|proxy-.*|forwarded|x-forwarded-.*)$/

/** Also one that is wrong: that is said where it is written. */
const isWritten = ({ tickets, signals }: Compilation['config'], source: string): boolean => Object.hasOwn(tickets, source) || signals.webhooks?.some(({ name }) => name === source) === true

type Written = NonNullable<Compilation['config']['purposes'][PurposeKind]>

function fromOf(kind: PurposeKind, { header, meta, claim, signed }: Written): PurposeSource['from'] | null {
  if (signed !== undefined) return { is: 'signed', header: signed.header, claim: signed.claim ?? kind, line: signed.within ?? null }
  if (meta !== undefined) return { is: 'meta', key: meta, header: header ?? null }
  if (header !== undefined) return { is: 'header', header }
  return claim === undefined ? null : { is: 'claim', claim }
}

/** No two purposes are shown at one place. */
class Places {
  readonly #report: Compilation['report']
  readonly #taken = new Map<string, PurposeKind>()

  constructor(report: Compilation['report']) {
    this.#report = report
  }

  take(what: 'header' | 'meta', name: string, kind: PurposeKind, place: Path): void {
    const other = this.#taken.get(`${what} ${name}`)
    const told = what === 'header' ? `the header '${name}'` : `'${name}' of \`_meta\``
    if (other !== undefined) this.#report.error(place, `${told} shows '${other}' already`)
    if (what === 'header' && TAKEN.test(name)) this.#report.error(place, `${told} has another meaning`, 'use one of your own, such as narrowgate-ticket')
    this.#taken.set(`${what} ${name}`, kind)
  }
}

export function purposesOf({ config, report }: Compilation): ReadonlyMap<PurposeKind, PurposeSource> {
  const sources = new Map<PurposeKind, PurposeSource>()
  const places = new Places(report)
  for (const kind of PURPOSE_KINDS) {
    const written = config.purposes[kind]
    if (written === undefined) continue
    const { claim, signed } = written
    const [header, meta] = [written.header ?? signed?.header, written.meta ?? signed?.meta]
    const [source, path]: [string | null, Path] = [written.source ?? null, ['purposes', kind, ...(signed === undefined ? [] : ['signed'])]]
    if ([written.header ?? written.meta, claim, signed].filter(way => way !== undefined).length !== 1) report.errorAtKey(['purposes', kind], `the purpose '${kind}' needs exactly one of \`header\` or \`meta\` (or both), \`claim\` and \`signed\``)
    if (source !== null && source !== 'manual' && !isWritten(config, source)) report.error(['purposes', kind, 'source'], `there is no connector '${source}'`, 'add it to `tickets` or `signals.webhooks`, or write `manual`')
    if (header !== undefined) places.take('header', header, kind, [...path, 'header'])
    if (meta !== undefined) places.take('meta', meta, kind, [...path, 'meta'])
    const from = fromOf(kind, written)
    if (from !== null) sources.set(kind, { kind, source, from })
  }
  return sources
}

export function signedPurposesOf(c: Compilation): ReadonlyMap<PurposeKind, SignedPurposeSettings> {
  const found = new Map<PurposeKind, SignedPurposeSettings>()
  for (const kind of PURPOSE_KINDS) {
    const signed = c.config.purposes[kind]?.signed
    if (signed !== undefined) found.set(kind, { jwksFile: existing(c, ['purposes', kind, 'signed', 'jwksFile'], signed.jwksFile), audience: signed.audience ?? null, meta: signed.meta ?? null })
  }
  return found
}
