// `upstreams`: what can be reached. SPEC: CFG2
import { z } from 'zod'
import { duration, filePath, headerName, named } from './scalar.ts'

export const upstream = z.strictObject({
  url: z.string().describe('`http://` or `https://`, host and port; no path'),
  tls: z.strictObject({ caFile: filePath().describe('PEM certificates to trust') }).optional().describe('How an https upstream is verified'),
  timeout: duration({ least: '1ms' }).prefault('30s').describe('Longest wait for the response head'),
  connections: z.int().min(1).max(1_000_000).prefault(10_000).describe('Connections at most'),
  credential: z.strictObject({
    header: headerName().describe('Header that is set on every request'),
    valueFile: filePath().describe('File with its value; never told to callers'),
  }).optional().describe('A static credential for the upstream'),
})

export const upstreams = named(upstream)
