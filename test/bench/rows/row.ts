// What one row of the bench is: a proxy that can be started in front of the upstream.
import type { Upstream } from '../upstream.ts'
import type { Script } from '../wrk.ts'
import type { Workbench } from '../workbench.ts'

export type Proxy = {
  /** `http://127.0.0.1:port`, without path. */
  readonly origin: string
  readonly headers: { readonly [name: string]: string }
  /** Made anew right before every load; null where all requests are alike. */
  readonly script: ((connections: number, seconds: number) => Script) | null
  /** Processes whose time counts, with everything below them. */
  readonly pids: readonly number[]
}

export type Row = { readonly name: string; readonly start: (bench: Workbench, upstream: Upstream) => Promise<Proxy> }
