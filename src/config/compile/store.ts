// Where sessions are kept, and by how many processes. Reads no secret and connects to nothing: files are only known to be there.
// SPEC: CFG3
import { parseCidr } from '../../conditions/cidr.ts'
import { EMBEDDED_FILE } from '../schema/store.ts'
import type { EmbeddedHome, RedisHome, Settings, StoreSettings } from '../settings.ts'
import type { Path } from '../source-map.ts'
import { type Compilation, existing, existingOrNone } from './context.ts'

type Written = NonNullable<Compilation['config']['store']['redis']>
type Node = RedisHome['nodes'][number]
/** What a URL says; a list of nodes says only where. */
type Server = { readonly nodes: readonly Node[]; readonly tls: boolean; readonly username: string | null; readonly password: string | null; readonly database: number | null }

const AT: Path = ['store', 'redis']

/** A problem shows its line, so one about a URL with a password stands beside it. */
const urlPlace = (url: string): Path => (url.includes('@') ? AT : [...AT, 'url'])

const NO_SENTINEL = 'leave it out, or write `mode: sentinel`'
const WORKERS_MAX = 1024

const defaultPort = ({ mode }: Written): number => (mode === 'sentinel' ? 26_379 : 6379)

/** `host`, `host:port`, `[v6]` or `[v6]:port`; null where it is none of them. */
function nodeOf(text: string, port: number): Node | null {
  const [, six, plain = '', digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]{1,253}))(?::(\d{1,5}))?$/.exec(text) ?? []
  const host = (six ?? plain).toLowerCase()
  const node = { host, port: digits === undefined ? port : Number(digits) }
  if (host === '' || node.port < 1 || node.port > 65_535) return null
  return six !== undefined && parseCidr(six) === null ? null : node
}

const URL_FORM = /^(rediss?):\/\/(?:([^:@/?#\s]*)(?::([^@/?#\s]*))?@)?([^@/?#\s]+)(?:\/(\d{1,4})?)?$/

/** Percent-decoded; null where it is empty or left out. @throws URIError on a malformed escape */
const decoded = (text: string | undefined): string | null => (text === undefined || text === '' ? null : decodeURIComponent(text))

/** Of draft-iana-redis; a password that holds `@`, `/`, `?` or `#` is percent-encoded. Null where it is none. */
function serverOf(text: string, port: number): Server | null {
  const [, scheme, user, secret, address = '', database] = URL_FORM.exec(text) ?? []
  const node = nodeOf(address, port)
  if (node === null) return null
  try {
    return { nodes: [node], tls: scheme === 'rediss', username: decoded(user), password: decoded(secret), database: database === undefined ? null : Number(database) }
  } catch {
    return null
  }
}

function nodesOf({ report }: Compilation, written: Written, texts: readonly string[]): Server {
  const path = [...AT, 'nodes']
  const seen = new Set<string>()
  const nodes = texts.flatMap((text, i) => {
    const node = nodeOf(text, defaultPort(written))
    const key = node === null ? null : `${node.host} ${node.port}`
    if (node === null || key === null) report.error([...path, i], `'${text.slice(0, 64)}' is not an address`, 'write host:port or [v6]:port')
    else if (seen.has(key)) report.error([...path, i], `'${text}' is there already`, 'name it once')
    else seen.add(key)
    return node ?? []
  })
  if (written.mode === 'single' && texts.length > 1) report.error(path, '`mode: single` is one server', 'write the one, or `mode: sentinel` or `mode: cluster`')
  return { nodes, tls: written.tls !== undefined, username: null, password: null, database: null }
}

function reached(c: Compilation, written: Written): Server {
  const { url, nodes } = written
  if ((url === undefined) === (nodes === undefined)) c.report.errorAtKey(AT, 'Redis is named by exactly one of `url` and `nodes`', 'such as `url: redis://redis:6379`')
  if (url === undefined) return nodesOf(c, written, nodes ?? [])
  const server = serverOf(url, defaultPort(written))
  if (server === null) c.report.errorAtKey(urlPlace(url), '`url` is not redis:// or rediss:// with [user[:password]@]host[:port][/database]', 'write `@`, `/`, `?`, `#` and `%` of a password as %40, %2f, %3f, %23 and %25, or name it with `passwordFile`')
  else if (written.tls !== undefined && !server.tls) c.report.errorAtKey([...AT, 'tls'], '`tls` is for a rediss:// URL', 'write rediss:// instead of redis://')
  return server ?? { nodes: [], tls: false, username: null, password: null, database: null }
}

/** Nothing is said both in the URL and beside it. */
function saidTwice({ report }: Compilation, written: Written, server: Server): void {
  if (server.username !== null && written.username !== undefined) report.errorAtKey([...AT, 'username'], 'the URL names a user already', 'keep one of them')
  if (server.password !== null && written.passwordFile !== undefined) report.errorAtKey([...AT, 'passwordFile'], 'the URL holds a password already', 'take the password out of the URL')
  if (server.database !== null && written.database !== undefined) report.errorAtKey([...AT, 'database'], 'the URL names a database already', 'keep one of them')
}

function sentinelOf(c: Compilation, { mode, master, sentinel }: Written): RedisHome['sentinel'] {
  if (mode !== 'sentinel') {
    if (master !== undefined) c.report.errorAtKey([...AT, 'master'], '`master` is only for `mode: sentinel`', NO_SENTINEL)
    if (sentinel !== undefined) c.report.errorAtKey([...AT, 'sentinel'], '`sentinel` is only for `mode: sentinel`', NO_SENTINEL)
    return null
  }
  if (master === undefined) c.report.errorAtKey(AT, '`mode: sentinel` needs `master`', 'write the name that `sentinel monitor` gives it, such as `master: mymaster`')
  return { master: master ?? '', username: sentinel?.username ?? null, passwordFile: existingOrNone(c, [...AT, 'sentinel', 'passwordFile'], sentinel?.passwordFile) }
}

function tlsOf(c: Compilation, { tls }: Written, server: Server): RedisHome['tls'] {
  const path = [...AT, 'tls']
  if ((tls?.certFile === undefined) !== (tls?.keyFile === undefined)) c.report.errorAtKey(path, '`certFile` and `keyFile` go together', 'name both, or none of them')
  const file = (key: 'caFile' | 'certFile' | 'keyFile'): string | null => existingOrNone(c, [...path, key], tls?.[key])
  const made = { caFile: file('caFile'), certFile: file('certFile'), keyFile: file('keyFile'), serverName: tls?.serverName ?? null }
  return server.tls ? made : null
}

function databaseOf({ report }: Compilation, { mode, url = '', database }: Written, server: Server): number {
  const number = database ?? server.database ?? 0
  if (mode === 'cluster' && number !== 0) report.errorAtKey(database === undefined ? urlPlace(url) : [...AT, 'database'], 'a cluster has only database 0', 'leave it out, and give each installation its own `prefix`')
  return number
}

function redisHome(c: Compilation, written: Written): RedisHome {
  const server = reached(c, written)
  saidTwice(c, written, server)
  return {
    is: 'redis',
    mode: written.mode,
    nodes: server.nodes,
    tls: tlsOf(c, written, server),
    username: written.username ?? server.username,
    password: server.password,
    passwordFile: existingOrNone(c, [...AT, 'passwordFile'], written.passwordFile),
    sentinel: sentinelOf(c, written),
    database: databaseOf(c, written, server),
    prefix: written.prefix,
    shards: written.shards ?? (written.mode === 'cluster' ? 16 : 1),
    maxLag: written.maxLag,
  }
}

function embeddedHome({ config, report }: Compilation, inState: (file: string) => string): EmbeddedHome {
  const file = config.store.embedded?.file ?? EMBEDDED_FILE
  if (file !== ':memory:') return { is: 'embedded', file: inState(file) }
  if (!config.ephemeral) report.error(['store', 'embedded', 'file'], '`:memory:` forgets every end of a session at a restart', 'write `ephemeral: true` if nothing needs to survive')
  return { is: 'embedded', file }
}

function macKeyFiles(c: Compilation): readonly string[] {
  const { macKeyFile, redis } = c.config.store
  const path: Path = ['store', 'macKeyFile']
  if (macKeyFile === undefined) return []
  if (redis === undefined) c.report.errorAtKey(path, '`macKeyFile` is only for Redis: the embedded store signs nothing', 'leave it out')
  if (typeof macKeyFile === 'string') return [existing(c, path, macKeyFile)]
  const files = macKeyFile.map((file, i) => existing(c, [...path, i], file))
  if (new Set(files).size < files.length) c.report.error(path, 'the two keys are the same file', 'name another one, or only one')
  return files
}

/** @param inState the absolute path of a file that is written relative to the state directory */
export function storeOf(c: Compilation, inState: (file: string) => string): StoreSettings {
  const { embedded, redis, lease, hold } = c.config.store
  if (embedded !== undefined && redis !== undefined) c.report.errorAtKey(['store', 'redis'], '`embedded` and `redis` exclude each other: sessions are kept in one place', 'keep one of them')
  return { home: redis === undefined ? embeddedHome(c, inState) : redisHome(c, redis), lease, hold, macKeyFiles: macKeyFiles(c) }
}

export function workersOf({ config, report, environment }: Compilation, home: StoreSettings['home']): Settings['workers'] {
  const { workers } = config.server
  if (home.is === 'embedded') {
    if (workers !== 'auto' && workers > 1) report.error(['server', 'workers'], 'the embedded store allows 1 worker', 'several share a store in Redis: `store.redis`')
    return 1
  }
  return workers === 'auto' ? Math.min(environment.cores, WORKERS_MAX) : workers
}
