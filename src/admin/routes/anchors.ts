// An operator's word on a ticket, task, run …: `ended` ends every elevation that stands on it. SPEC: ADM12, PUR3
import { manualAnchor } from '../../approvals/task.ts'
import type { Anchor } from '../../core/anchor.ts'
import { PURPOSE_KINDS, type PurposeKind } from '../../core/purpose.ts'
import type { Page, SessionStore } from '../../sessions/store.ts'
import { type Answer, timeText, told } from '../answer.ts'
import { LIST_MAX } from '../contract-schemas.ts'
import { enforced } from '../enforced.ts'
import { AdminFault } from '../fault.ts'
import { type Call, givenReason, type Handlers, wordOf } from './handler.ts'

const NAME_MAX = 200

function kindOf(text: string): PurposeKind {
  const kind = PURPOSE_KINDS.find(each => each === text)
  if (kind === undefined) throw new AdminFault('not_found', `an anchor is one of ${PURPOSE_KINDS.join(', ')}`)
  return kind
}

const anchorView = ({ kind, name, state, generation, since, note, version }: Anchor) =>
  ({ kind, name, state, lastEndedAt: generation === 0 ? null : timeText(generation), since: timeText(since), note, version })

/** Up to `limit` of them and no more, each once, by name. */
async function firstAnchors(store: SessionStore, kind: PurposeKind, limit: number): Promise<readonly Anchor[]> {
  const found = new Map<string, Anchor>() // a store may tell of one twice
  for (let cursor: string | null = ''; cursor !== null && found.size < limit;) {
    const page: Page = await store.list(kind, cursor, limit)
    for (const record of page.records) if (record.record === 'anchor') found.set(record.name, record)
    cursor = page.next
  }
  return [...found.values()].slice(0, limit).toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

async function word({ room, caller, params, body }: Call<'anchor.word'>): Promise<Answer> {
  const kind = kindOf(params.kind)
  const reason = givenReason(body.reason)
  if (body.state === 'open' && reason === null) throw new AdminFault('bad_request', 'a reason is required')
  if (params.name.length > NAME_MAX) throw new AdminFault('bad_request', `a name has at most ${NAME_MAX} characters`)
  const ref = manualAnchor(kind, body.tenant ?? '', params.name)
  const news = body.state === 'open' ? ({ kind: 'anchor.opened', matter: null } as const) : ({ kind: 'anchor.ended', matter: null } as const)
  const answer = await enforced(room.intake.anchor(ref, news, wordOf(caller, body.reason)), `${kind}/${params.name}`, reason)
  const heard = room.mirror.policy.purposes.get(kind)?.source === 'manual'
  return heard || answer.is !== 'json' ? answer : { ...answer, body: { ...answer.body, warning: `no purpose of kind ${kind} says \`source: manual\`: nothing listens to this word` } }
}

export const ANCHOR_HANDLERS: Handlers<'anchor.list' | 'anchor.word'> = {
  'anchor.list': async ({ room, params }) => {
    const anchors = await firstAnchors(room.store, kindOf(params.kind), LIST_MAX + 1)
    return told({ anchors: anchors.slice(0, LIST_MAX).map(anchorView), more: anchors.length > LIST_MAX })
  },
  'anchor.word': word,
}
