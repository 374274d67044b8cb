// What upstreams are told of us and how they can verify it: our key, the Txn-Token, the signatures. SPEC: CFG3, CTX3, CTX5, CTX6, CTX8
import { type Duration, duration } from '../../core/time.ts'
import type { UpstreamSettings } from '../settings.ts'
import type { Path } from '../source-map.ts'
import { type Compilation, existing, existingOrNone } from './context.ts'

/** The key that signs what upstreams are told. */
export type ContextSettings = {
  /** null keeps one with the state. */
  readonly keyFile: string | null
  /** Of a key that is published and never signs. */
  readonly previousKeyFile: string | null
  /** Age at which a key that is kept with the state makes way; null keeps it. */
  readonly rotate: Duration | null
  readonly issuer: string
}

/** A Txn-Token beside Narrowgate-Context, for an upstream whose trust domain passes it on. */
export type TransactionSettings = {
  /** Name of the trust domain. */
  readonly audience: string
  /** Longest life of a token. */
  readonly life: Duration
  /** What every token says, separated by spaces; null says what carries the request. */
  readonly scope: string | null
}

/** An HTTP message signature (RFC 9421) on every request. */
export type SignatureSettings = {
  /** `context`: the key that signs Narrowgate-Context. `keyId`: null for its thumbprint. */
  readonly key: { readonly is: 'context' } | { readonly is: 'file'; readonly file: string; readonly keyId: string | null }
  readonly tag: string
  /** Derived ones with their `@`, and names of headers in lower case; those that a request has are covered. */
  readonly components: readonly string[]
  /** How long it counts. */
  readonly expires: Duration
}

type Written = Compilation['config']['upstreams'][string]

/** How old a key becomes that is kept with the state. */
const ROTATED_AFTER = duration(30 * 86_400_000)
/** Written by the connection, or by the signature itself: they are not there yet, or mean something else, when the rest is signed. */
const NOT_COVERED = /^(host|connection|content-length|transfer-encoding|te|trailer|upgrade|expect|keep-alive|signature|signature-input|proxy-.*|sec-websocket-.*)$/

export function contextOf(c: Compilation): ContextSettings {
  const { keyFile, previousKeyFile, rotate, issuer } = c.config.context
  if (keyFile !== undefined && rotate !== undefined) c.report.error(['context', 'rotate'], '`rotate` is for the key that is kept with the state', 'leave it out, and change the content of `keyFile`')
  if (keyFile === undefined && previousKeyFile !== undefined) c.report.error(['context', 'previousKeyFile'], '`previousKeyFile` goes with `keyFile`', 'without it the keys before are kept with the state')
  return {
    keyFile: existingOrNone(c, ['context', 'keyFile'], keyFile), previousKeyFile: existingOrNone(c, ['context', 'previousKeyFile'], previousKeyFile),
    rotate: rotate === false || keyFile !== undefined ? null : (rotate ?? ROTATED_AFTER), issuer,
  }
}

const transactionOf = ({ txnToken }: Written): TransactionSettings | null => (txnToken === undefined ? null : { audience: txnToken.audience, life: txnToken.life, scope: txnToken.scope ?? null })

function signatureOf(c: Compilation, { sign }: Written, path: Path): SignatureSettings | null {
  if (sign === undefined) return null
  const { keyFile, keyId = null, tag, components, expires } = sign
  sign.components.forEach((component, i) => {
    if (NOT_COVERED.test(component)) c.report.error([...path, 'components', i], `'${component}' cannot be covered`, component === 'host' ? 'write @authority' : 'it is written behind the signature')
    else if (components.indexOf(component) < i) c.report.error([...path, 'components', i], `'${component}' is covered already`)
  })
  if (keyFile === 'context' && keyId !== null) c.report.error([...path, 'keyId'], 'the key that signs Narrowgate-Context has its name in our key set', 'leave `keyId` out')
  const key = keyFile === 'context' ? { is: 'context' } as const : { is: 'file', file: existing(c, [...path, 'keyFile'], keyFile), keyId } as const
  return { key, tag, components, expires }
}

export function toldTo(c: Compilation, written: Written, path: Path): Pick<UpstreamSettings, 'transaction' | 'signature'> {
  const { credential, txnToken, sign } = written
  const ours = [...(txnToken === undefined ? [] : ['txn-token']), ...(sign === undefined ? [] : ['signature', 'signature-input', 'content-digest'])]
  if (credential?.header !== undefined && ours.includes(credential.header)) c.report.error([...path, 'credential', 'header'], `the header '${credential.header}' is written by the gateway itself`)
  return { transaction: transactionOf(written), signature: signatureOf(c, written, [...path, 'sign']) }
}
