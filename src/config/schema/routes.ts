// `routes`: which requests are known, and what each of them needs. SPEC: CFG2, DEC2-DEC4
import { z } from 'zod'
import { condition, duration, list, name, scope } from './scalar.ts'
import { upstream } from './upstreams.ts'

const selector = z.strictObject({
  methods: list(z.string().regex(/^[A-Z][A-Z-]{0,31}$/, { error: 'a method is written in upper case, such as GET' }), 32).optional().describe('Any of these; GET covers HEAD; without it every method'),
  paths: list(z.string(), 64).optional().describe('Any of these patterns: literals, `{name}`, `*` for one segment, `**` last; without it every path of the route'),
  upgrade: z.enum(['websocket']).optional().describe('A protocol upgrade; never covered without it'),
})

const rule = z.strictObject({
  allow: selector.optional().describe('Lets these requests pass (exactly one of `allow` and `deny`)'),
  deny: selector.optional().describe('Refuses these requests'),
  scope: scope().optional().describe('The scope a session must have; without it any live session may'),
  if: condition().optional().describe('CEL that must also hold'),
  anonymous: z.boolean().prefault(false).describe('Needs no credential; never with `scope` or `if`'),
})

const route = z.strictObject({
  name: name().describe('What logs, locks and metrics call it'),
  match: z.strictObject({
    host: z.string().optional().describe('Exact, or `*.suffix`; without it any host'),
    path: z.string().prefault('/**').describe('Path pattern'),
  }).prefault({}).describe('Which requests are its own'),
  upstream: z.union([z.string(), upstream]).describe('A name of `upstreams`, a URL, or an upstream written out'),
  authn: list(name(), 64).optional().describe('Providers whose credentials count here, in order; default all'),
  mode: z.enum(['enforce', 'observe']).prefault('enforce').describe('`observe` lets pass what only scope, condition or purpose would refuse, and reports it'),
  staleness: duration({ most: '60s' }).prefault('0s').describe('How old knowledge may be beyond the lease; only where no rule has a scope'),
  encodedSlash: z.enum(['reject', 'opaque']).prefault('reject').describe('What `%2f` in a path means'),
  upstreamFolds: z.array(z.enum(['case', 'params']), { error: 'expected a list' }).max(2).prefault(['case', 'params']).describe('What the upstream may ignore in a path; a path that would then meet another rule is refused'),
  rules: list(rule, 256).describe('The first whose selector matches decides; none refuses'),
})

export const routes = list(route, 1000)
