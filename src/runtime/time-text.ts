// Times as answers write them: RFC 3339.
import { FOREVER, type Instant } from '../core/time.ts'

/** null for no instant, and for one no clock reaches. */
export const timeText = (at: Instant | null): string | null => (at === null || at === FOREVER ? null : new Date(at).toISOString())
