// http-proxy in front of one target. Arguments: own port, target origin.
import { Agent, createServer } from 'node:http'
import { createProxyServer } from 'http-proxy'

const [port, target] = process.argv.slice(2)
const proxy = createProxyServer({ target: target ?? '', agent: new Agent({ keepAlive: true }) })
proxy.on('error', (_error, _request, response) => {
  if ('writeHead' in response && !response.headersSent) response.writeHead(502)
  response.end()
})
const server = createServer((request, response) => proxy.web(request, response))
server.keepAliveTimeout = 3_600_000
server.listen(Number(port), '127.0.0.1')
process.once('SIGTERM', () => process.exit(0))
