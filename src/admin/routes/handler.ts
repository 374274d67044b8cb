// The shape of a route: everything it may use, and the words it brings. A route never touches request or response. SPEC: ADM18
import { NO_PURPOSES, type Purposes } from '../../core/purpose.ts'
import type { Word } from '../../signals/intake.ts'
import type { Answer } from '../answer.ts'
import type { BodyOf, OperationName, ParamsOf, QueryOf } from '../contract.ts'
import type { Directory } from '../directory.ts'
import type { EventStreams } from '../event-stream.ts'
import type { Caller } from '../roles.ts'
import type { AdminRoom } from '../room.ts'

export type Desk = { readonly room: AdminRoom; readonly directory: Directory; readonly streams: EventStreams }

export type Call<N extends OperationName> = Desk & {
  readonly caller: Caller
  readonly params: ParamsOf<N>
  readonly query: QueryOf<N>
  readonly body: BodyOf<N>
  /** Lines of `Idempotency-Key`, for what must not be done twice. */
  readonly repeatKeys: readonly string[]
  /** The body as text, where the operation takes YAML. */
  readonly text: string
}

export type Handler<N extends OperationName> = (call: Call<N>) => Answer | Promise<Answer>
export type Handlers<N extends OperationName> = { readonly [K in N]: Handler<K> }

/** What stands for a reason nobody gave. */
export const UNSPECIFIED = 'unspecified'

export const wordOf = ({ identity }: Caller, reason: string | undefined): Word => ({ by: identity, note: reason === undefined || reason === '' ? UNSPECIFIED : reason, id: null })
/** The reason given, or null. */
export const givenReason = (reason: string | undefined): string | null => (reason === undefined || reason === '' ? null : reason)

/** Kinds with a value; the bodies have a member for each kind. */
export const purposesIn = (asked: BodyOf<'elevation.request'>['purpose']): Purposes =>
  asked === undefined ? NO_PURPOSES : (Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined)) as Purposes) // kinds by the schema
