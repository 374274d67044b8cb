// The one table of who may import whom (DESIGN §4), and of the doors through which packages and Node builtins come in.
// A new room, package or long file is one line here, with its reason.

/** Each room with the rooms it may import. Rooms of one layer do not know each other; gateway.ts, main.ts and cli compose. */
const BELOW_CONFIG = ['core', 'runtime', 'conditions', 'calendar']
const TO_LAYER_1 = [...BELOW_CONFIG, 'config', 'http1']
const TO_LAYER_2 = [...TO_LAYER_1, 'identity', 'sessions', 'audit', 'upstream']
const TO_LAYER_3 = [...TO_LAYER_2, 'signals', 'approvals', 'notify', 'enforcement']
const ALL = [...TO_LAYER_3, 'proxy', 'admin', 'decisions', 'console', 'workers', 'cli', 'version.ts', 'brokered.ts', 'external.ts', 'front.ts', 'following.ts', 'outside.ts', 'stepping-up.ts', 'telling.ts', 'trust.ts', 'waiting.ts', 'running-gateway.ts', 'gateway.ts', 'main.ts']

export const MAY_IMPORT: ReadonlyMap<string, readonly string[]> = new Map([
  ['core', []],
  ['version.ts', []],
  ['runtime', ['core']],
  ['conditions', ['core']],
  ['calendar', ['core']],
  ['http1', []],
  ['config', BELOW_CONFIG],
  ...['identity', 'sessions', 'audit', 'upstream'].map(room => [room, TO_LAYER_1] as const),
  ...['signals', 'approvals', 'notify', 'enforcement'].map(room => [room, TO_LAYER_2] as const),
  ...['proxy', 'admin', 'decisions', 'console'].map(room => [room, TO_LAYER_3] as const),
  ['workers', TO_LAYER_1],
  ...['cli', 'brokered.ts', 'external.ts', 'front.ts', 'following.ts', 'outside.ts', 'stepping-up.ts', 'telling.ts', 'trust.ts', 'waiting.ts', 'running-gateway.ts', 'gateway.ts', 'main.ts'].map(room => [room, ALL] as const),
])

/** Prefixes of paths under src that may import a package or builtin. `demo` is the demo's own upstream, issuer and client. */
export const DOORS: ReadonlyMap<string, readonly string[]> = new Map([
  ['@marcbachmann/cel-js', ['conditions/']],
  ['temporal-polyfill', ['calendar/zone']],
  ['yaml', ['config/']],
  ['zod', ['config/', 'signals/', 'proxy/self-service', 'admin/contract']],
  ['jose', ['identity/', 'upstream/', 'cli/demo/']],
  ['undici', ['runtime/http-client']],
  ['http-proxy', ['proxy/websocket/']],
  ['ioredis', ['sessions/redis/']],
  ['prom-client', ['runtime/']],
  ['pino', ['runtime/']],
  ['commander', ['cli/']],
  ['lit', ['console/']],
  ['node:sqlite', ['sessions/embedded']],
  ['node:fs', ['config/source', 'runtime/secret-file', 'audit/', 'sessions/', 'cli/']],
  ['node:fs/promises', ['config/source', 'runtime/secret-file', 'audit/', 'sessions/', 'cli/']],
  ['node:crypto', ['runtime/', 'identity/', 'audit/', 'upstream/', 'proxy/websocket/', 'proxy/certificate']],
  ['node:dns', ['upstream/']],
  ['node:dns/promises', ['upstream/']],
  ['node:http', ['proxy/', 'admin/', 'decisions/', 'cli/demo/', 'signals/hooks', 'signals/message-body', 'signals/transmit/', 'signals/doorway', 'signals/receiving', 'signals/logout', 'signals/ssf/push', 'outside']],
  ['node:https', ['proxy/', 'admin/']],
  ['node:http2', ['proxy/', 'upstream/http2/']],
  ['node:net', ['proxy/', 'admin/', 'decisions/peps', 'upstream/']],
  ['node:tls', ['proxy/', 'admin/', 'decisions/peps', 'upstream/', 'identity/certificate/authority.ts']],
  ['node:os', ['runtime/', 'cli/', 'config/source']],
  ['node:perf_hooks', ['runtime/']],
  ['node:async_hooks', ['runtime/']],
  ['node:child_process', ['cli/']],
  ['node:cluster', ['workers/']],
  ['node:readline', ['cli/']],
  ['node:readline/promises', ['cli/']],
])

/** Builtins without effects or state: open to every room but core. */
export const HARMLESS: readonly string[] = ['node:path', 'node:url', 'node:events', 'node:stream', 'node:stream/promises', 'node:buffer', 'node:util', 'node:timers', 'node:timers/promises', 'node:string_decoder']

/** Files longer than 300 lines, each with the reason why it is one thing. */
export const LONG_FILES: ReadonlyMap<string, string> = new Map([
  ['sessions/redis/redis-store.ts', 'the whole port, most of it one line a member'],
  ['sessions/redis/shard.ts', 'one member of one log: what it hears, proves and says again hangs on the same few fields'],
])
