// Requests, refusals and bytes of one principal over the last five minutes, here and elsewhere. SPEC: RSK2
import { bucketOf, type Count, type Counted, COUNTS_MAX, tally } from '../../core/conduct.ts'
import type { Instant } from '../../core/time.ts'

type Bucket = [bucket: number, requests: number, refusals: number, bytes: number]

export class Counts {
  #buckets: Bucket[] = []
  /** What other gateways said. */
  others: readonly Count[] = []

  request(now: Instant): void { this.#bucket(now)[1]++ }
  refusal(now: Instant): void { this.#bucket(now)[2]++ }
  bytes(now: Instant, bytes: number): void { this.#bucket(now)[3] += bytes }

  /** What this gateway had counted before it forgot. */
  recall(counts: readonly Count[]): void {
    const all = new Map<number, Bucket>(this.#buckets.map(bucket => [bucket[0], bucket]))
    for (const [bucket, requests, refusals, bytes] of counts) {
      const known = all.get(bucket) ?? [bucket, 0, 0, 0]
      all.set(bucket, [bucket, known[1] + requests, known[2] + refusals, known[3] + bytes])
    }
    this.#buckets = [...all.values()].sort(([a], [b]) => a - b)
  }

  /** Those of this gateway. */
  own(now: Instant): readonly Count[] {
    this.#forget(bucketOf(now))
    return this.#buckets
  }

  at(now: Instant): Counted {
    const counted: Counted = { requestsPerMinute: 0, requests5m: 0, refusalsPerMinute: 0, refusals5m: 0, bytesPerMinute: 0, bytes5m: 0 }
    tally(this.#buckets, now, counted)
    tally(this.others, now, counted)
    return counted
  }

  #bucket(now: Instant): Bucket {
    const bucket = bucketOf(now)
    const last = this.#buckets.at(-1)
    if (last?.[0] === bucket) return last
    this.#forget(bucket)
    const made: Bucket = [bucket, 0, 0, 0]
    this.#buckets.push(made)
    return made
  }

  #forget(bucket: number): void {
    const first = this.#buckets.findIndex(([kept]) => kept > bucket - COUNTS_MAX)
    if (first !== 0) this.#buckets = first === -1 ? [] : this.#buckets.slice(first)
  }
}
