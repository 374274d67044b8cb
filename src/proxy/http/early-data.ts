// `Early-Data` (RFC 8470): a hop before us took the request before its handshake ended, so that it may be a replay. SPEC: WIRE22
const HARMLESS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** Must it come again behind the handshake? @param more it stands on more than the baseline, or opens a channel, which is no mere question */
export const isTooEarly = (earlyData: boolean, method: string, more: boolean): boolean => earlyData && (more || !HARMLESS.has(method))
