// What upstreams call their protocol sessions, tasks and events, as callers get it: texts that every gateway of the data set opens, for the life of the session and
// the route they were made for and for nothing else. Nothing is kept for them; they are no credentials. SPEC: MCP10, MCP11
import type { Call } from '../../../core/call.ts'
import { hmac } from '../../../runtime/id.ts'
import { isSameSecret } from '../../../runtime/same-secret.ts'
import { readStrictJson, writeJson } from '../../../runtime/strict-json.ts'

/** Whose they are: the life of a session, on a route. */
export type Owner = { readonly session: string; readonly route: string }

/** A task as its upstream calls it, and the call of a tool that it came from. */
export type TaskOrigin = {
  readonly id: string
  readonly tool: string
  /** Too long for a handle: only their digest is left. */
  readonly args: Exclude<Call['args'], null>
  readonly digest: string | null
  /** What carried the call: the id of an elevation, or `baseline`. */
  readonly grant: string
}

/** Names of upstreams that callers may be given at all: characters that may stand in a header. */
const UPSTREAM_ID = /^[\x21-\x7e]{1,512}$/
const NAME_HANDLE = /^([\w-]{2,683})\.([\w-]{43})$/
const TASK_HANDLE = /^([\w-]{2,8192})\.([\w-]{43})$/
/** Of arguments as JSON that travel in a handle: it has to fit into a header. */
const ARGUMENT_BYTES = 4_096

type Kind = 'mcp-session' | 'mcp-task' | 'mcp-event'

const isText = (value: unknown): value is string => typeof value === 'string'

function argumentsIn({ args }: TaskOrigin): ReadonlyMap<string, unknown> | null {
  return args === 'forgotten' || Buffer.byteLength(writeJson(args)) > ARGUMENT_BYTES ? null : args
}

/** As it was written here: its seal was looked at before. */
function originIn(written: unknown): TaskOrigin | null {
  if (!Array.isArray(written)) return null
  const [id, tool, grant, digest, args]: readonly unknown[] = written
  if (!isText(id) || !isText(tool) || !isText(grant) || !(digest === null || isText(digest)) || !(args === null || args instanceof Map)) return null
  return { id, tool, grant, digest, args: args ?? 'forgotten' }
}

export class Handles {
  readonly #key: Uint8Array

  /** @param digestKey of the data set, at least 32 bytes: all its gateways make and open the same handles */
  constructor(digestKey: Uint8Array) {
    if (digestKey.byteLength < 32) throw new RangeError('the digest key has at least 32 bytes')
    this.#key = Buffer.from(hmac(digestKey, 'narrowgate mcp handles'), 'base64url')
  }

  /** null where a caller cannot be given what the upstream calls it. */
  ofSession(owner: Owner, id: string): string | null { return this.#ofName('mcp-session', owner, id) }

  /** What the upstream calls it; null where it is none of the owner's. */
  sessionIn(owner: Owner, handle: string): string | null { return this.#nameIn('mcp-session', owner, handle) }

  /** Of an event on a stream, from which a caller may go on. */
  ofEvent(owner: Owner, id: string): string | null { return this.#ofName('mcp-event', owner, id) }
  eventIn(owner: Owner, handle: string): string | null { return this.#nameIn('mcp-event', owner, handle) }

  /** The same for the same origin, wherever it is made. @returns null likewise */
  ofTask(owner: Owner, origin: TaskOrigin): string | null {
    if (!UPSTREAM_ID.test(origin.id)) return null
    const text = writeJson([origin.id, origin.tool, origin.grant, origin.digest, argumentsIn(origin)])
    return this.#sealed('mcp-task', owner, Buffer.from(text).toString('base64url'))
  }

  taskIn(owner: Owner, handle: string): TaskOrigin | null {
    const text = this.#opened('mcp-task', owner, TASK_HANDLE.exec(handle))
    return text === null ? null : originIn(readStrictJson(Buffer.from(text, 'base64url')))
  }

  #ofName(kind: Kind, owner: Owner, id: string): string | null { return UPSTREAM_ID.test(id) ? this.#sealed(kind, owner, Buffer.from(id).toString('base64url')) : null }

  #nameIn(kind: Kind, owner: Owner, handle: string): string | null {
    const text = this.#opened(kind, owner, NAME_HANDLE.exec(handle))
    return text === null ? null : Buffer.from(text, 'base64url').toString()
  }

  #sealed(kind: Kind, owner: Owner, text: string): string { return `${text}.${this.#seal(kind, owner, text)}` }

  /** The seal is over the text as it stands: there is no other way to write the same. */
  #opened(kind: Kind, owner: Owner, parts: RegExpExecArray | null): string | null {
    const [, text = '', seal = ''] = parts ?? []
    return text !== '' && isSameSecret(seal, this.#seal(kind, owner, text)) ? text : null
  }

  #seal(kind: Kind, { session, route }: Owner, text: string): string { return hmac(this.#key, JSON.stringify([kind, route, session, text])) }
}
