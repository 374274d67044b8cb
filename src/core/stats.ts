// What is known of a principal's conduct, as risk rules read it: counts over the last minutes, on all gateways together, and whether this request
// is the first of its kind. SPEC: RSK2

export type Stats = {
  /** Over the last minute; this request is in it. */
  readonly requestsPerMinute: number
  readonly requests5m: number
  readonly refusalsPerMinute: number
  readonly refusals5m: number
  /** Of bodies, both ways. */
  readonly bytesPerMinute: number
  readonly bytes5m: number
  /** Distinct ones of the last ten minutes. */
  readonly tenantsSeen: number
  readonly pathsSeen: number
  readonly toolsSeen: number
  readonly sourcesSeen: number
  /** Never seen before, of a principal of which others were. */
  readonly firstTenant: boolean
  readonly firstTool: boolean
  readonly firstSource: boolean
  /** Not among what it normally uses, once that is learned. */
  readonly unusualRoute: boolean
  /** Sessions of it that are live here. */
  readonly sessions: number
}
