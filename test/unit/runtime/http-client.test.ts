import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { duration } from '../../../src/core/time.ts'
import { HttpClient } from '../../../src/runtime/http-client.ts'

const LIMITS = { timeout: duration(5_000), bytes: 1_000 }
let client: HttpClient
let server: Server
let heads: string[][]

beforeEach(() => {
  client = new HttpClient()
  heads = []
})
afterEach(async () => {
  await client.close()
  server.closeAllConnections()
  server.close()
})

async function serve(respond: RequestListener): Promise<URL> {
  server = createServer((request, response) => {
    heads.push([`${request.method} ${request.url}`, ...request.rawHeaders])
    respond(request, response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/doc`) // a TCP listener's
}

describe('getting JSON', () => {
  test('[SES13] gives the value of a 200 answer', async () => {
    const url = await serve((_request, response) => response.end('{"a":[1]}'))
    expect(await client.getJson(url, LIMITS)).toEqual({ a: [1] })
    expect(heads[0]?.[0]).toBe('GET /doc')
  })

  test.each([201, 204, 301, 302, 307, 404, 500])('[SES13] takes no answer %d and follows nothing', async status => {
    const url = await serve((_request, response) => response.writeHead(status, { location: '/elsewhere' }).end())
    await expect(client.getJson(url, LIMITS)).rejects.toMatchObject({ code: 'status', status })
    expect(heads).toHaveLength(1)
  })

  test('[SES13] stops at the size limit, announced or not', async () => {
    const announced = await serve((_request, response) => response.writeHead(200, { 'content-length': '1001' }).write('"'))
    await expect(client.getJson(announced, LIMITS)).rejects.toMatchObject({ code: 'too_large' })
    server.closeAllConnections()
    server.close()
    const endless = await serve((_request, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write('x'.repeat(500))) continue
      }
      response.on('drain', more)
      more()
    })
    await expect(client.getJson(endless, LIMITS)).rejects.toMatchObject({ code: 'too_large' })
  })

  test('[SSF7] gives up at once what nobody wants any more, before the answer and within it', async () => {
    const url = await serve((request, response) => void (request.url === '/slow' ? response.write('{') : undefined))
    for (const path of ['/none', '/slow']) {
      const over = new AbortController()
      const asked = client.ask(new URL(path, url), { method: 'GET', body: null, headers: {}, ca: null, statuses: [200] }, LIMITS, 'open', over.signal)
      await expect.poll(() => heads.at(-1)?.[0]).toBe(`GET ${path}`)
      over.abort()
      await expect(asked).rejects.toMatchObject({ code: 'cancelled' })
    }
  })

  test('[SES13] waits no longer than the timeout for head or body', async () => {
    const url = await serve((request, response) => (request.url === '/doc' ? undefined : void response.write('{')))
    await expect(client.getJson(url, { ...LIMITS, timeout: duration(30) })).rejects.toMatchObject({ code: 'timeout' })
    await expect(client.getJson(new URL('/slow', url), { ...LIMITS, timeout: duration(30) })).rejects.toMatchObject({ code: 'timeout' })
  })

  test('[SES13] takes no content coding, nothing that is not JSON, and says when nobody answers', async () => {
    const url = await serve((request, response) => response.writeHead(200, request.url === '/doc' ? { 'content-encoding': 'gzip' } : {}).end('<html>'))
    await expect(client.getJson(url, LIMITS)).rejects.toMatchObject({ code: 'encoded' })
    await expect(client.getJson(new URL('/html', url), LIMITS)).rejects.toMatchObject({ code: 'not_json' })
    await expect(client.getJson(new URL('http://127.0.0.1:1/'), LIMITS)).rejects.toMatchObject({ code: 'unreachable', status: 0 })
  })
})

describe('posting', () => {
  const POST = { body: 'token=a', headers: { 'content-type': 'application/x-www-form-urlencoded' }, ca: null, statuses: [200, 201] }

  test('[SES16] gives the text of an answer that is taken, and sends what it was given', async () => {
    let body = ''
    const url = await serve((request, response) => {
      request.on('data', chunk => (body += String(chunk))).on('end', () => response.writeHead(201).end('{"a":1}'))
    })
    expect(await client.post(url, POST, LIMITS, 'new')).toBe('{"a":1}')
    expect([heads[0]?.[0], body]).toEqual(['POST /doc', 'token=a'])
    await expect(client.post(url, { ...POST, statuses: [200] }, LIMITS, 'new')).rejects.toMatchObject({ code: 'status', status: 201 })
  })

  test('[SES16] asks about what is open by connections of its own, however many others wait', async () => {
    const url = await serve((request, response) => void (request.url === '/open' ? response.end('{}') : undefined))
    const waiting = Array.from({ length: 100 }, () => client.post(url, POST, LIMITS, 'new').catch(() => 'over'))
    await expect.poll(() => heads.length).toBeGreaterThan(0)
    expect(await client.post(new URL('/open', url), POST, { ...LIMITS, timeout: duration(2_000) }, 'open')).toBe('{}')
    server.closeAllConnections()
    server.close()
    await client.close()
    await Promise.all(waiting)
    client = new HttpClient()
  })

  test('[SES16] has the limits of every other exchange, and takes UTF-8 alone', async () => {
    const url = await serve((request, response) => {
      if (request.url === '/slow') return
      if (request.url === '/away') response.writeHead(307, { location: '/doc' }).end()
      else response.end(request.url === '/long' ? 'x'.repeat(1001) : Buffer.from([0x22, 0xff, 0x22]))
    })
    const post = (path: string): Promise<string> => client.post(new URL(path, url), POST, { ...LIMITS, timeout: duration(200) }, 'new')
    await expect(post('/slow')).rejects.toMatchObject({ code: 'timeout' })
    await expect(post('/away')).rejects.toMatchObject({ code: 'status', status: 307 })
    await expect(post('/long')).rejects.toMatchObject({ code: 'too_large' })
    await expect(post('/bytes')).rejects.toMatchObject({ code: 'not_json' })
    await expect(client.post(new URL('http://127.0.0.1:1/'), POST, LIMITS, 'new')).rejects.toMatchObject({ code: 'unreachable' })
  })
})
