// nginx that asks an authoriser in Node before every request, which asks Redis for the session: the sum of all three counts.
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { keyOf } from '../servers/session-key.ts'
import { answers } from '../upstream.ts'
import { PROXY_CORE, type Workbench } from '../workbench.ts'
import type { Row } from './row.ts'

const AUTHORIZER = join(import.meta.dirname, '../servers/authorizer.ts')

/** A private Redis that holds one session with the scope. */
async function startRedis(bench: Workbench, port: number, token: string): Promise<number> {
  const args = ['--bind', '127.0.0.1', '--port', String(port), '--save', '', '--appendonly', 'no', '--dir', bench.folder('redis')]
  const started = bench.start('redis', PROXY_CORE, bench.programs.redis, args)
  const redis = new Redis({ host: '127.0.0.1', port, connectTimeout: 2_000, commandTimeout: 2_000, retryStrategy: () => 50 })
  redis.on('error', () => {}) // refused until it listens
  try {
    await bench.ready(started, async () => (await redis.ping()) === 'PONG')
    await redis.set(keyOf(token), JSON.stringify({ subject: 'bench', tenant: 'acme', scope: ['bench:list', 'bench:read'], expiresAt: Date.now() + 86_400_000 }))
  } finally {
    redis.disconnect()
  }
  return started.pid
}

export const authRequest: Row = {
  name: 'nginx-auth-request',
  start: async (bench, upstream) => {
    const [port, redisPort, authorizerPort] = [await bench.port(), await bench.port(), await bench.port()]
    const token = randomBytes(32).toString('base64url')
    const headers = { authorization: `Bearer ${token}` }
    const redis = await startRedis(bench, redisPort, token)
    const authorizer = bench.start('authorizer', PROXY_CORE, process.execPath, [AUTHORIZER, String(authorizerPort), String(redisPort)])
    const origin = `http://127.0.0.1:${port}`
    const values = { LISTEN: `127.0.0.1:${port}`, UPSTREAM: upstream.address, AUTHORIZER: `127.0.0.1:${authorizerPort}` }
    const started = bench.startNginx('auth-request', PROXY_CORE, 'auth-request.conf', values)
    await bench.ready(started, () => answers(`${origin}/`, headers))
    if (await answers(`${origin}/`, { authorization: 'Bearer nobody' })) throw new Error('nginx-auth-request lets everybody through')
    return { origin, headers, script: null, pids: [started.pid, authorizer.pid, redis] }
  },
}
