// Node's sockets for servers that are written as functions from Request to Response, as those of the MCP SDKs are; keeps what arrived. For tests only.
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A request as it arrived; `body` is JSON where it is any. */
export type Received = { readonly method: string; readonly path: string; readonly headers: IncomingHttpHeaders; readonly body: { readonly [member: string]: unknown } | null }

export type Listener = {
  readonly origin: string
  readonly received: readonly Received[]
  readonly close: () => Promise<void>
}

function jsonOf(bytes: Buffer): Received['body'] {
  try {
    return JSON.parse(bytes.toString('utf8')) as Received['body'] // what the SDKs' clients send
  } catch {
    return null
  }
}

async function pass(response: Response, to: ServerResponse): Promise<void> {
  to.writeHead(response.status, Object.fromEntries(response.headers))
  if (response.body === null) return void to.end()
  to.flushHeaders()
  const reader = response.body.getReader()
  to.once('close', () => void reader.cancel().catch(() => undefined)) // it has ended already
  for (;;) {
    const { done, value } = await reader.read()
    if (done || to.destroyed) break
    if (!to.write(value)) await Promise.race([once(to, 'drain'), once(to, 'close')])
  }
  to.end()
}

export async function listen(serve: (request: Request) => Promise<Response>): Promise<Listener> {
  const received: Received[] = []
  const take = async (message: IncomingMessage, to: ServerResponse): Promise<void> => {
    const gone = new AbortController()
    to.once('close', () => {
      if (!to.writableFinished) gone.abort()
    })
    const chunks: Buffer[] = []
    for await (const chunk of message) chunks.push(chunk as Buffer) // no encoding is set
    const body = Buffer.concat(chunks)
    const { method = 'GET', url = '/', headers } = message
    received.push({ method, path: url, headers, body: jsonOf(body) })
    const request = new Request(`http://${headers.host ?? 'localhost'}${url}`, { method, headers: Object.entries(headers).map(([name, value]): [string, string] => [name, String(value)]), signal: gone.signal, ...(body.length === 0 ? {} : { body }) })
    await pass(await serve(request), to)
  }
  const server = createServer((message, to) => void take(message, to).catch(() => to.destroy())) // the caller went, or the server did
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // it listens on TCP
  const close = async (): Promise<void> => {
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }
  return { origin: `http://127.0.0.1:${port}`, received, close }
}
