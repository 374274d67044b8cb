// `store`: where sessions are kept, and how long its silence is borne. SPEC: CFG2, STO1
import { z } from 'zod'
import { duration, filePath, list } from './scalar.ts'

/** Of the embedded store, where none is named. */
export const EMBEDDED_FILE = 'narrowgate.db'

const user = () => z.string().min(1).max(256).optional()

const tls = z.strictObject({
  caFile: filePath().optional().describe('PEM certificates to trust; without it those of the system'),
  certFile: filePath().optional().describe('PEM certificate chain the gateway shows; with `keyFile`'),
  keyFile: filePath().optional().describe('Its PEM private key'),
  serverName: z.string().min(1).max(253).optional().describe('The name that certificates must carry; default the host that is reached'),
})

const sentinel = z.strictObject({
  username: user().describe('ACL user at the sentinels'),
  passwordFile: filePath().optional().describe('File with its password'),
})

const redis = z.strictObject({
  url: z.string().max(2048).optional().describe('`redis://` or, with TLS, `rediss://`, then `[user[:password]@]host[:port][/database]` (exactly one of `url` and `nodes`)'),
  nodes: list(z.string(), 64).optional().describe('`host:port` of the server, of the sentinels, or of some nodes of the cluster; the port is 6379, of sentinels 26379, where it is left out'),
  mode: z.enum(['single', 'sentinel', 'cluster']).prefault('single').describe('One server, sentinels that know the master, or a cluster'),
  master: z.string().regex(/^[A-Za-z0-9._-]{1,128}$/, { error: 'expected the name of a master, as `sentinel monitor` gives it' }).optional().describe('What the sentinels call the master; needed with `mode: sentinel`'),
  tls: tls.optional().describe('How servers are verified; `tls: {}` beside `nodes` asks for TLS'),
  username: user().describe('ACL user of the gateway'),
  passwordFile: filePath().optional().describe('File with its password'),
  sentinel: sentinel.optional().describe('How sentinels know the gateway; only with `mode: sentinel`'),
  database: z.int().min(0).max(9999).optional().describe('Number of the database, default 0; a cluster has no other'),
  prefix: z.string().regex(/^[a-z0-9_-]{1,32}$/, { error: 'a prefix has 1 to 32 lower-case letters, digits, dashes and underscores' }).prefault('ng').describe('Before every key'),
  shards: z.int().min(1).max(64).optional().describe('Parts of the data set, each with a log of its own; fixed when the data set is made; default 16 with a cluster, otherwise 1'),
  maxLag: duration({ least: '1s', most: '60s' }).prefault('2s').describe('`min-replicas-max-lag` of the servers: a master that lost its replicas for so long takes no writes'),
})

export const store = z.strictObject({
  embedded: z.strictObject({
    file: z.string().min(1).prefault(EMBEDDED_FILE).describe('A file in `stateDir`, or `:memory:`, which needs `ephemeral: true`'),
  }).optional().describe('A database of this process alone; the default (never with `redis`)'),
  redis: redis.optional().describe('Redis or Valkey, shared by all gateways of an installation'),
  lease: duration({ least: '400ms', most: '30s' }).prefault('1s').describe('How long an answer of Redis may be believed: no decision stands on older knowledge'),
  hold: z.strictObject({
    requests: duration({ most: '60s' }).prefault('2s').describe('How long new requests wait for a store that does not answer, before 503'),
    streams: duration().prefault('30s').describe('How long open exchanges wait for a store that does not answer'),
  }).prefault({}).describe('Patience'),
  macKeyFile: z.union([filePath(), list(filePath(), 2)]).optional().describe('Key of at least 32 bytes, as such or in base64, that signs what is in Redis; of two the first signs and both verify'),
})
