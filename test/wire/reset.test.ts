// Connections that are reset give back what they took of the process, also where the reset meets their own end that is just going out. SPEC: ENF6, WIRE14
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { describe, expect, test } from 'vitest'
import { reset } from '../../src/proxy/reset.ts'
import { testAuthority } from '../support/tls.ts'

/** What became of the TCP socket under a caller's connection that is reset `when` it is at its end. */
async function resetOf(tls: boolean, when: (spoken: Socket) => void): Promise<string> {
  const { server: { cert, key }, ca } = await testAuthority()
  const told = Promise.withResolvers<string>()
  const raws: Socket[] = []
  const take = (spoken: Socket): void => {
    const raw = tls ? raws[0] ?? spoken : spoken
    raw.on('error', error => told.resolve(error.message))
    raw.on('close', () => told.resolve('closed'))
    spoken.on('error', () => undefined).resume()
    spoken.once('end', () => {
      when(spoken)
      reset(raw, spoken)
    })
  }
  const server: Server = tls ? createTlsServer({ cert, key, allowHalfOpen: true }) : createServer({ allowHalfOpen: true })
  server.on('connection', (socket: Socket) => void raws.push(socket))
  server.on(tls ? 'secureConnection' : 'connection', take)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo // it listens on a port
  const caller: Socket | TLSSocket = tls ? connectTls({ port, host: '127.0.0.1', ca, servername: 'api.test' }) : connect({ port, host: '127.0.0.1' })
  caller.on('error', () => undefined).resume()
  await once(caller, tls ? 'secureConnect' : 'connect')
  caller.end()
  const became = await told.promise
  caller.destroy()
  server.close()
  return became
}

describe.each([['TCP', false], ['TLS', true]] as const)('over %s', (_name, tls) => {
  test('[ENF6, WIRE14] a connection whose own end is just going out is closed, where a reset would lose its socket', async () => {
    expect(await resetOf(tls, spoken => void spoken.end())).toBe('closed')
  })

  test('[ENF6, WIRE14] a connection that says no more is reset', async () => {
    expect(await resetOf(tls, () => undefined)).toBe('closed')
  })
})
