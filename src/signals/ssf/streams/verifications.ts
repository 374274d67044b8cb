// States that a transmitter was asked to verify with, kept where every gateway finds them: whichever gets the event can tell. The last few count, since
// events that were queued before come first. SPEC: SSF6
import { newNonce } from '../../../runtime/id.ts'
import type { SessionStore } from '../../../sessions/store.ts'

type Kept = Pick<SessionStore, 'keep' | 'kept'>

const STATES_MAX = 16
const nameOf = (source: string): string => `ssf.states.${source}`
const statesIn = (text: string | null): readonly string[] => (text === null || text === '' ? [] : text.split(' '))

/** One that is new, kept before anybody is asked with it. Only whoever looks after the stream makes any. */
export async function newState(store: Kept, source: string): Promise<string> {
  const state = newNonce() + newNonce()
  const before = statesIn(await store.kept(nameOf(source)))
  await store.keep(nameOf(source), [state, ...before].slice(0, STATES_MAX).join(' '))
  return state
}

export const isState = async (store: Kept, source: string, state: string): Promise<boolean> => statesIn(await store.kept(nameOf(source))).includes(state)
