// The authoriser behind `auth_request`, as small as one is written by hand: token → session in Redis → scope. Arguments: own port, port of Redis.
import { createServer } from 'node:http'
import { Redis } from 'ioredis'
import { keyOf } from './session-key.ts'

type StoredSession = { readonly scope: readonly string[]; readonly expiresAt: number }

const [port, redisPort] = process.argv.slice(2).map(Number)
const redis = new Redis({ host: '127.0.0.1', port: redisPort ?? 6379 })

async function status(authorization: string | undefined, method: string | readonly string[] | undefined): Promise<number> {
  if (authorization?.startsWith('Bearer ') !== true) return 401
  const stored = await redis.get(keyOf(authorization.slice(7)))
  if (stored === null) return 401
  const session = JSON.parse(stored) as StoredSession // written by the bench itself
  if (session.expiresAt <= Date.now()) return 401
  return session.scope.includes(method === 'GET' ? 'bench:read' : 'bench:write') ? 204 : 403
}

const server = createServer((request, response) => {
  status(request.headers.authorization, request.headers['x-original-method']).then(
    code => response.writeHead(code).end(),
    () => response.writeHead(500).end(),
  )
})
server.keepAliveTimeout = 3_600_000
server.listen(port, '127.0.0.1')
process.once('SIGTERM', () => process.exit(0))
