// Decisions for others: who may ask, whom subjects stand for, and which request a question means. SPEC: CFG3, PDP1, FWA1
import { compileMessageTest, compileMessageText, compileMessageValue, type MessageTest, type MessageText, type MessageValue } from '../../conditions/compile.ts'
import type { PrincipalKind } from '../../core/principal.ts'
import type { PEP_MAY } from '../schema/decisions.ts'
import type { MtlsSettings } from '../settings.ts'
import type { Path } from '../source-map.ts'
import { checked } from './conditions.ts'
import { type Compilation, existing } from './context.ts'
import { type ForwardAuthSettings, forwardAuthOf } from './forward-auth.ts'
import { mtlsProvider } from './providers.ts'
import { httpUrl, isLoopbackUrl } from './url.ts'

export type PepMay = (typeof PEP_MAY)[number]

export type PepSettings = {
  readonly name: string
  readonly by: { readonly is: 'token'; readonly file: string } | { readonly is: 'certificate'; readonly provider: MtlsSettings }
  readonly may: ReadonlySet<PepMay>
  /** Null asks about all. */
  readonly routes: ReadonlySet<string> | null
}

/** Whom a subject of a type stands for. Null where nobody wrote it. */
export type PrincipalForm = {
  readonly issuer: string
  readonly kind: PrincipalKind
  readonly subject: MessageText
  readonly tenant: MessageText | null
  readonly client: MessageText | null
  readonly claims: ReadonlyMap<string, MessageValue>
}

/** The request that a question means. */
export type QuestionForm = {
  readonly name: string
  readonly when: MessageTest | null
  readonly method: MessageText
  readonly url: MessageText
  readonly source: MessageText | null
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, MessageText>
  readonly body: MessageValue | null
  /** Null tries the common methods. */
  readonly actions: readonly string[] | null
}

export type PdpServed = {
  /** Without a slash at its end. */
  readonly identifier: string
  readonly peps: readonly PepSettings[]
  /** By type of subject. */
  readonly principals: ReadonlyMap<string, PrincipalForm>
  readonly questions: readonly QuestionForm[]
  readonly perSecond: number
  readonly evaluationsMax: number
}

export type DecisionSettings = {
  /** Null where nobody asks by AuthZEN. */
  readonly pdp: PdpServed | null
  /** Null where no other proxy asks. */
  readonly forwardAuth: ForwardAuthSettings | null
}

type Written = Compilation['config']['decisions']
type Of<K extends 'peps' | 'principals' | 'questions'> = NonNullable<Written[K]>[number]

const AT: Path = ['decisions']

/** Endpoints are named by it: it is what it is, letter by letter. */
function identifierOf({ report }: Compilation, identifier: string): string {
  const url = httpUrl(identifier)
  const isPlain = url !== null && url.search === '' && url.hash === '' && !identifier.endsWith('/') && (url.href === identifier || url.href === `${identifier}/`)
  if (!isPlain || (url.protocol === 'http:' && !isLoopbackUrl(url))) report.error([...AT, 'identifier'], 'expected an https URL without query, fragment and a slash at its end', 'write it as `https://pdp.example` or `https://pdp.example/tenant`')
  return identifier
}

function credentialOf(c: Compilation, path: Path, { name, tokenFile, certificate }: Of<'peps'>): PepSettings['by'] {
  if ((tokenFile === undefined) === (certificate === undefined)) c.report.error(path, `'${name}' needs exactly one of \`tokenFile\` and \`certificate\``)
  if (certificate === undefined) return { is: 'token', file: tokenFile === undefined ? '' : existing(c, [...path, 'tokenFile'], tokenFile) }
  const asked = c.config.server.listeners?.some(({ serves, tls }) => serves.includes('decisions') && tls?.clients !== undefined)
  if (asked !== true) c.report.errorAtKey([...path, 'certificate'], 'it is known by its certificate, but no listener that serves `decisions` asks for any', 'give it `tls.clients`')
  const common = { c, at: [...path, 'certificate'], name, kind: 'service', claims: { tenant: null, owner: null, client: null, device: null, subjectCase: 'exact' } } as const
  return { is: 'certificate', provider: mtlsProvider(common, certificate) }
}

function pepsOf(c: Compilation, written: readonly Of<'peps'>[]): readonly PepSettings[] {
  const known = new Set(c.config.routes.map(({ name }) => name))
  return written.map((pep, i) => {
    const path: Path = [...AT, 'peps', i]
    if (written.slice(0, i).some(({ name }) => name === pep.name)) c.report.error([...path, 'name'], `there is '${pep.name}' already`)
    pep.routes?.forEach((route, j) => { if (!known.has(route)) c.report.error([...path, 'routes', j], `there is no route '${route}'`) })
    return { name: pep.name, by: credentialOf(c, path, pep), may: new Set(pep.may), routes: pep.routes === undefined ? null : new Set(pep.routes) }
  })
}

const textOf = (c: Compilation, path: Path, source: string | undefined): MessageText | null => (source === undefined ? null : checked(c, path, compileMessageText(source)))

const valueOf = (c: Compilation, path: Path, source: string | undefined): MessageValue | null => (source === undefined ? null : checked(c, path, compileMessageValue(source)))

function byName<T>(sources: { readonly [name: string]: string }, compiled: (name: string, source: string) => T | null): ReadonlyMap<string, T> {
  return new Map(Object.entries(sources).flatMap(([name, source]) => {
    const made = compiled(name, source)
    return made === null ? [] : [[name, made] as const]
  }))
}

function principalsOf(c: Compilation, written: readonly Of<'principals'>[]): ReadonlyMap<string, PrincipalForm> {
  const forms = new Map<string, PrincipalForm>()
  written.forEach(({ type, issuer, kind, subject, tenant, client, claims }, i) => {
    const path: Path = [...AT, 'principals', i]
    if (type === 'session' || forms.has(type)) c.report.error([...path, 'type'], type === 'session' ? '`session` is always a live session' : `there is '${type}' already`)
    const who = textOf(c, [...path, 'subject'], subject)
    const rest = { tenant: textOf(c, [...path, 'tenant'], tenant), client: textOf(c, [...path, 'client'], client), claims: byName(claims, (name, source) => valueOf(c, [...path, 'claims', name], source)) }
    if (who !== null) forms.set(type, { issuer, kind, subject: who, ...rest })
  })
  return forms
}

function questionOf(c: Compilation, path: Path, written: Of<'questions'>, name: string): QuestionForm | null {
  const [method, url] = [textOf(c, [...path, 'method'], written.method), textOf(c, [...path, 'url'], written.url)]
  const rest = {
    when: written.when === undefined ? null : checked(c, [...path, 'when'], compileMessageTest(written.when)),
    source: textOf(c, [...path, 'source'], written.source), body: valueOf(c, [...path, 'body'], written.body),
    headers: byName(written.headers, (header, source) => textOf(c, [...path, 'headers', header], source)), actions: written.actions ?? null,
  }
  return method === null || url === null ? null : { name: written.name ?? name, method, url, ...rest }
}

function questionsOf(c: Compilation, written: readonly Of<'questions'>[]): readonly QuestionForm[] {
  return written.flatMap((question, i) => questionOf(c, [...AT, 'questions', i], question, String(i + 1)) ?? [])
}

function pdpOf(c: Compilation, { identifier, peps = [], principals = [], questions = [], perSecond, evaluationsMax }: Written): PdpServed | null {
  if (identifier === undefined && peps.length === 0 && principals.length === 0 && questions.length === 0) return null
  if (identifier === undefined) c.report.errorAtKey(AT, '`identifier` is missing: what the decision point is called')
  if (peps.length === 0) c.report.errorAtKey(AT, '`peps` is missing: nobody may ask')
  if (questions.length === 0) c.report.errorAtKey(AT, '`questions` is missing: nothing says which requests are meant')
  return { identifier: identifierOf(c, identifier ?? 'https://missing.invalid'), peps: pepsOf(c, peps), principals: principalsOf(c, principals), questions: questionsOf(c, questions), perSecond, evaluationsMax }
}

export function decisionsOf(c: Compilation): DecisionSettings | null {
  const [pdp, forwardAuth] = [pdpOf(c, c.config.decisions), forwardAuthOf(c)]
  const i = c.config.server.listeners?.findIndex(({ serves }) => serves.includes('decisions')) ?? -1
  if (pdp === null && forwardAuth === null) {
    if (i >= 0) c.report.error(['server', 'listeners', i, 'serves'], 'it serves `decisions`, but `decisions` says nothing', 'write who may ask, and which requests are meant')
    return null
  }
  if (i < 0) c.report.warn(AT, 'no listener serves `decisions`: nobody can ask', 'add a listener with `serves: [decisions]`')
  return { pdp, forwardAuth }
}
