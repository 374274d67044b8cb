// Where sessions are kept: what a file means, and each way in which it cannot be meant.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { load } from '../../../src/config/load.ts'
import { formatProblem } from '../../../src/config/problem.ts'
import type { RedisHome } from '../../../src/config/settings.ts'
import { duration } from '../../../src/core/time.ts'
import { loaded, problems, SMALL, WORLD } from './fixture.ts'

const redis = (keys: string, beside = ''): string => `${SMALL}store: { redis: { ${keys} }${beside} }\n`

function home(keys: string): RedisHome {
  const { store } = loaded(redis(keys))
  if (store.home.is !== 'redis') throw new Error('not in Redis')
  return store.home
}

const PLAIN: RedisHome = {
  is: 'redis', mode: 'single', nodes: [{ host: 'redis', port: 6379 }], tls: null, username: null, password: null, passwordFile: null,
  sentinel: null, database: 0, prefix: 'ng', shards: 1, maxLag: duration(2000),
}
const NO_FILES = { caFile: null, certFile: null, keyFile: null, serverName: null }

describe('the store', () => {
  it('[CFG2] is embedded unless Redis is named, with a lease and holds', () => {
    expect(loaded(SMALL).store).toEqual({
      home: { is: 'embedded', file: '/work-dir/narrowgate-state/narrowgate.db' }, lease: 1000, hold: { requests: 2000, streams: 30_000 }, macKeyFiles: [],
    })
    expect(loaded(`${SMALL}store: { embedded: { file: /var/a.db }, lease: 400ms, hold: { requests: 0s, streams: 1m } }\n`).store).toEqual({
      home: { is: 'embedded', file: '/var/a.db' }, lease: 400, hold: { requests: 0, streams: 60_000 }, macKeyFiles: [],
    })
  })

  it('[CFG2] signs with one key or verifies with two, in the order of the file', () => {
    expect(loaded(redis('url: redis://r', ', macKeyFile: mac')).store.macKeyFiles).toEqual(['/work-dir/mac'])
    expect(loaded(redis('url: redis://r', ', macKeyFile: [/new, /old]')).store.macKeyFiles).toEqual(['/new', '/old'])
  })

  it.each<readonly [string, Partial<RedisHome>]>([
    ['redis://redis', {}],
    ['redis://REDIS:6380/', { nodes: [{ host: 'redis', port: 6380 }] }],
    ['redis://redis/7', { database: 7 }],
    ['redis://[2001:DB8::1]:6380/1', { nodes: [{ host: '2001:db8::1', port: 6380 }], database: 1 }],
    ['rediss://redis', { tls: NO_FILES }],
    ['redis://gate@redis', { username: 'gate' }],
    ['redis://:s3cret@redis', { password: 's3cret' }],
    ['redis://ga%40te:p%40ss%2fw:rd%25@redis:1/2', { username: 'ga@te', password: 'p@ss/w:rd%', nodes: [{ host: 'redis', port: 1 }], database: 2 }],
  ])('[CFG2] is reached at %s', (url, expected) => {
    expect(home(`url: "${url}"`)).toEqual({ ...PLAIN, ...expected })
  })

  it('[CFG2] every password survives its way through the URL', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }), secret => {
      expect(home(`url: ${JSON.stringify(`redis://u:${encodeURIComponent(secret)}@redis`)}`)).toEqual({ ...PLAIN, username: 'u', password: secret })
    }))
  })

  it('[CFG2] is reached at sentinels and clusters, with the ports and shards that are usual there', () => {
    expect(home('mode: sentinel, nodes: [a, "b:1"], master: main, tls: {}, sentinel: { username: watch, passwordFile: /s }, username: gate, passwordFile: /p')).toEqual({
      ...PLAIN, mode: 'sentinel', nodes: [{ host: 'a', port: 26_379 }, { host: 'b', port: 1 }], tls: NO_FILES, username: 'gate', passwordFile: '/p',
      sentinel: { master: 'main', username: 'watch', passwordFile: '/s' },
    })
    expect(home('mode: sentinel, url: "redis://a", master: main, database: 3')).toMatchObject({ nodes: [{ host: 'a', port: 26_379 }], sentinel: { master: 'main', username: null, passwordFile: null }, database: 3, shards: 1 })
    expect(home('mode: cluster, url: "redis://a/0"')).toMatchObject({ nodes: [{ host: 'a', port: 6379 }], shards: 16, sentinel: null })
    expect([home('mode: cluster, nodes: [a], shards: 1').shards, home('nodes: [a], shards: 64').shards]).toEqual([1, 64])
  })

  it('[CFG2] certificates are named by their files', () => {
    expect(home('url: rediss://r, tls: { caFile: ca, certFile: /c, keyFile: /k, serverName: redis.internal }').tls).toEqual({ caFile: '/work-dir/ca', certFile: '/c', keyFile: '/k', serverName: 'redis.internal' })
  })

  it.each<readonly [string, string, readonly string[]]>([
    ['both stores', redis('url: redis://r', ', embedded: {}'), ['`embedded` and `redis` exclude each other: sessions are kept in one place']],
    ['neither URL nor nodes', redis(''), ['Redis is named by exactly one of `url` and `nodes`']],
    ['URL and nodes', redis('url: redis://r, nodes: [r]'), ['Redis is named by exactly one of `url` and `nodes`']],
    ['a sentinel mode without a master', redis('mode: sentinel, nodes: [r]'), ['`mode: sentinel` needs `master`']],
    ['a master without sentinels', redis('url: redis://r, master: main'), ['`master` is only for `mode: sentinel`']],
    ['sentinels’ user without sentinels', redis('mode: cluster, nodes: [r], sentinel: { username: u }'), ['`sentinel` is only for `mode: sentinel`']],
    ['a cluster with a database', redis('mode: cluster, nodes: [r], database: 1'), ['a cluster has only database 0']],
    ['a cluster with a database in its URL', redis('mode: cluster, url: "redis://r/1"'), ['a cluster has only database 0']],
    ['two passwords', redis('url: "redis://:a@r", passwordFile: /p'), ['the URL holds a password already']],
    ['two users', redis('url: "redis://a@r", username: b'), ['the URL names a user already']],
    ['two databases', redis('url: "redis://r/1", database: 1'), ['the URL names a database already']],
    ['several servers of one', redis('nodes: [a, b]'), ['`mode: single` is one server']],
    ['the same node twice', redis('mode: cluster, nodes: [a, "A:6379"]'), ["'A:6379' is there already"]],
    ['certificates without TLS', redis('url: redis://r, tls: { caFile: /c }'), ['`tls` is for a rediss:// URL']],
    ['a certificate without its key', redis('url: rediss://r, tls: { certFile: /c }'), ['`certFile` and `keyFile` go together']],
    ['a key that signs nothing', `${SMALL}store: { macKeyFile: /m }\n`, ['`macKeyFile` is only for Redis: the embedded store signs nothing']],
    ['one key as two', redis('url: redis://r', ', macKeyFile: [m, ./m]'), ['the two keys are the same file']],
    ['three keys', redis('url: redis://r', ', macKeyFile: [/a, /b, /c]'), ['must not have more than 2 entries']],
    ['a prefix in capitals', redis('url: redis://r, prefix: NG'), ['a prefix has 1 to 32 lower-case letters, digits, dashes and underscores']],
    ['too many shards', redis('url: redis://r, shards: 65'), ['must be at most 64']],
    ['a lag below Redis’ own unit', redis('url: redis://r, maxLag: 999ms'), ['must be at least 1s']],
    ['a lag of more than a minute', redis('url: redis://r, maxLag: 61s'), ['must be at most 60s']],
    ['a lease too short to renew', `${SMALL}store: { lease: 399ms }\n`, ['must be at least 400ms']],
    ['a lease too long to promise', `${SMALL}store: { lease: 31s }\n`, ['must be at most 30s']],
    ['requests that wait for more than a minute', `${SMALL}store: { hold: { requests: 61s } }\n`, ['must be at most 60s']],
  ])('[CFG3] %s is an error', (_, text, expected) => {
    expect(problems(text)).toEqual(expected)
  })

  it.each(['redis', 'http://redis', 'redis:redis', 'redis://', 'redis:///0', 'redis://:6379', 'redis://r:0', 'redis://r:65536', 'redis://r:x', 'redis://r/x', 'redis://r/10000', 'redis://r?db=1', 'redis://r#1', 'redis://a:b@c@r', 'redis://a:%@r', 'redis://a:b/c@r', 'redis://[::1', 'redis://[1:2]', 'redis://r r', 'REDIS://r', 'redis://a,b'])(
    '[CFG3] %s is no URL of Redis', url => {
      expect(problems(redis(`url: ${JSON.stringify(url)}`))).toEqual(['`url` is not redis:// or rediss:// with [user[:password]@]host[:port][/database]'])
    })

  it.each(['', ':6379', 'a:b', 'a:0', 'a:65536', '[::1', '[1:2]:1', '::1', 'redis://a', 'a/1', 'u@a'])('[CFG3] %s is no node', node => {
    expect(problems(redis(`nodes: [${JSON.stringify(node)}]`))).toEqual([`'${node}' is not an address`])
  })

  it('[CFG3] every file that is not there is named at its place', () => {
    const text = redis('url: rediss://r, tls: { caFile: /ca, certFile: /cert, keyFile: /key }, mode: sentinel, master: m, passwordFile: /p, sentinel: { passwordFile: /s }', ', macKeyFile: [/m1, /m2]')
    const result = load(text, 'test.yaml', { ...WORLD, exists: () => false })
    const line = text.split('\n').find(one => one.startsWith('store')) ?? ''
    const named = result.ok ? [] : result.problems.map(({ column, message }) => [line.slice(column - 1).split(/[,\s\]}]/, 1)[0], message])
    expect(named).toEqual(['/ca', '/cert', '/key', '/p', '/s', '/m1', '/m2'].map(file => [file, `the file ${file} does not exist or cannot be read`]))
  })

  it('[CFG3] a URL that is wrong is not shown when it may hold a password', () => {
    const told = (url: string): string => {
      const result = load(`${SMALL}store:\n  redis:\n    url: "${url}"\n`, 'test.yaml', WORLD)
      return result.ok ? '' : result.problems.map(formatProblem).join('\n')
    }
    expect(told('redis://gate:hunter/2@redis')).toMatch(/`url` is not[^]*hint: /)
    expect(told('redis://gate:hunter/2@redis')).not.toContain('hunter')
    expect(told('redis://redis:port')).toContain('redis://redis:port')
  })
})

describe('workers', () => {
  const workers = (store: string, count: string): number => loaded(`${SMALL}${store}server: { workers: ${count} }\n`).workers

  it('[CFG2] are one for each processor with Redis, and one with the embedded store', () => {
    const shared = 'store: { redis: { url: "redis://r" } }\n'
    expect([loaded(SMALL).workers, workers('', 'auto'), workers('', '1')]).toEqual([1, 1, 1])
    expect([workers(shared, 'auto'), workers(shared, '1'), workers(shared, '7')]).toEqual([4, 1, 7])
    expect(loaded(`${SMALL}${shared}`, { ...WORLD, cores: 5000 }).workers).toBe(1024)
  })

  it('[CFG3] are one with the embedded store, and an error says so', () => {
    expect(problems(`${SMALL}server: { workers: 2 }\n`)).toEqual(['the embedded store allows 1 worker'])
  })
})
