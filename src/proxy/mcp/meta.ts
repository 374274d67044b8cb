// `_meta` of a caller's message, and what of a message is meant for the gateway alone: purposes, keys of ours, the way back of a call that was asked about here.
// That is read, and nothing of it goes upstream. SPEC: MCP16, MCP17
import type { Settings } from '../../config/settings.ts'
import { sha256 } from '../../runtime/id.ts'
import { writeJson } from '../../runtime/strict-json.ts'
import { type Meta, NO_META } from '../describe/purposes.ts'
import type { ReadBody } from '../http/inspection.ts'
import type { Message, Params } from './message.ts'

/** What members of `_meta` begin with that are the gateway's own. */
const OWN = 'narrowgate/'
/** Names an ask that may come twice. */
export const REPEAT_META = 'narrowgate/idempotencyKey'
/** Of a call that was asked about: who retries it shows these. */
const WAY_BACK = ['requestState', 'inputResponses']

export function metaOf(message: Message | null): Meta {
  const meta = message?.params.get('_meta')
  return meta instanceof Map ? (meta as Meta) : NO_META // strict JSON has only such Maps
}

const kept = new WeakMap<Settings, ReadonlySet<string>>()

/** Members of `_meta` that show purposes. */
function purposeKeys(settings: Settings): ReadonlySet<string> {
  const known = kept.get(settings)
  if (known !== undefined) return known
  const keys = new Set<string>()
  for (const { from } of settings.policy.purposes.values()) if (from.is === 'meta') keys.add(from.key)
  for (const { meta } of settings.signedPurposes.values()) if (meta !== null) keys.add(meta)
  kept.set(settings, keys)
  return keys
}

function withoutKept(params: Params, keys: ReadonlySet<string>): Params {
  const meta = params.get('_meta')
  if (!(meta instanceof Map)) return params
  const left = new Map([...(meta as Meta)].filter(([name]) => !keys.has(name) && !name.startsWith(OWN))) // as above
  return left.size === meta.size ? params : new Map([...params, ['_meta', left]])
}

/** What goes upstream in place of a body with anything of ours in it; the same body where it has nothing. @param isRetry of a call that the gateway asked about */
export function forwardedBody({ value, params }: Message, body: ReadBody, settings: Settings, isRetry: boolean): ReadBody {
  if (value === null) return body
  const passed = withoutKept(params, purposeKeys(settings))
  const left = isRetry ? new Map([...passed].filter(([name]) => !WAY_BACK.includes(name))) : passed
  if (left === params) return body
  const forwarded = new Map([...value, ['params', left]])
  const bytes = Buffer.from(writeJson(forwarded))
  return { inspected: { value: forwarded, digest: sha256(bytes) }, bytes, size: body.size }
}
