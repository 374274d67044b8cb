// Why an ask becomes no elevation: a reason callers know, and one sentence. SPEC: ELV1
import type { RefusalReason } from '../core/reason.ts'

export type Declined = { readonly declined: RefusalReason | 'conflict'; readonly says: string }

export const decline = (declined: Declined['declined'], says: string): Declined => ({ declined, says })
export const isDeclined = (value: object): value is Declined => 'declined' in value
