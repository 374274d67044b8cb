// `mcp` of a route, and how its rules choose messages. What servers say of their tools counts for nothing here. SPEC: CFG2, MCP2
import { z } from 'zod'
import { ARGUMENT_TYPES, TOOL_CLASSES } from '../../core/call.ts'
import { duration, list, size } from './scalar.ts'

/** Newest first. */
export const MCP_VERSIONS = ['2026-07-28', '2025-11-25', '2025-06-18', '2025-03-26'] as const
const NAMES_MAX = 256

const glob = () => z.string().regex(/^[\x21-\x7e]{1,1024}$/, { error: 'a name or a pattern with `*` has 1 to 1024 visible ASCII characters' })
const label = () => z.string().regex(/^[a-z0-9][a-z0-9_.-]{0,63}$/, { error: 'a label has 1 to 64 lower-case letters, digits, dots, dashes and underscores' })

/** In a selector, only on routes that serve MCP. */
export const calls = {
  tools: list(glob(), NAMES_MAX).optional().describe('On MCP routes: calls of these tools, by exact name or with `*` for any run of characters'),
  classes: list(z.enum(TOOL_CLASSES), TOOL_CLASSES.length).optional().describe('With `tools`: only those of these classes, as `mcp.tools` of the route gives them; a tool without a class is none of them'),
  labels: list(label(), 32).optional().describe('With `tools`: only those that have one of these labels, likewise'),
  prompts: list(glob(), NAMES_MAX).optional().describe('On MCP routes: these prompts, and completions for them'),
  resources: list(glob(), NAMES_MAX).optional().describe('On MCP routes: reading these URIs, being told of their changes, and completions for them'),
  mcp: list(glob(), NAMES_MAX).optional().describe('On MCP routes: these methods, such as `logging/setLevel`, whatever they touch; a live session has those of the protocol itself without a rule, and unknown ones only by one'),
}

const argument = z.union([z.enum(ARGUMENT_TYPES), z.strictObject({
  type: z.enum(ARGUMENT_TYPES).describe('What it is'),
  required: z.boolean().prefault(true).describe('Whether it must be there'),
  header: z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/, { error: 'a header is named by 1 to 64 characters of a token' }).optional().describe('What follows `Mcp-Param-` in the header that repeats it (`x-mcp-header` of the tool): they must say the same'),
})])

const tool = z.strictObject({
  match: glob().describe('Name or pattern of the tools this is about; the first entry that covers a tool counts'),
  class: z.enum(TOOL_CLASSES).optional().describe('What a call of it does'),
  labels: list(label(), 32).optional().describe('What else it is'),
  args: z.record(z.string().regex(/^[\x21-\x7e]{1,128}$/), argument).optional().describe('What it is called with, by name: `string`, `int`, `double`, `bool`, `list` or `map`; calls with anything else are refused, and conditions on `mcp.args` are checked'),
  digest: z.string().regex(/^sha256:[A-Za-z0-9_-]{43}$/, { error: 'expected `sha256:` and 43 characters of base64url, as `GET /v1/tools` shows it' }).optional().describe('Its one definition that counts; without it the first that was seen, or an operator accepted'),
})

export const mcp = z.strictObject({
  versions: list(z.enum(MCP_VERSIONS), MCP_VERSIONS.length).prefault(['2026-07-28', '2025-11-25', '2025-06-18']).describe('Versions of the protocol that are taken; a request that names none counts as `2025-03-26`'),
  denyAs: z.enum(['error', 'result']).prefault('error').describe('How a refused call of a tool is told: `error` is 403 with an error of JSON-RPC, `result` is a result of the tool that its model reads'),
  denialCode: z.union([z.literal('coaz'), z.int().min(-2_147_483_648).max(2_147_483_647)]).prefault(40_300).describe('Code of JSON-RPC for what is refused; `coaz` is -32001'),
  offerElevation: z.union([z.boolean(), z.strictObject({ prefix: z.string().regex(/^[a-z][a-z0-9_]{0,31}$/).describe('What their names begin with') })]).prefault(false).describe('Adds the tools `request_elevation`, `elevation_status` and `release_elevation`'),
  approvalPage: z.string().max(1024).optional().describe('Page on which people decide, with `{elevation}`: where a client can show it (URL elicitation), a call that needs an approval asks for it there and goes on when it is given'),
  origins: list(z.string(), 64).optional().describe('Origins of pages that may call beside the host’s own; a request with another `Origin` is refused'),
  messageBytes: size(1).prefault('4MiB').describe('Largest message, either way; at most 64MiB'),
  messageTimeout: duration({ least: '100ms', most: '5m' }).prefault('10s').describe('Longest wait for a whole message of the caller'),
  tools: list(tool, 1000).optional().describe('What is known of tools'),
  onChange: z.enum(['off', 'alarm', 'hide', 'freeze']).prefault('alarm').describe('What follows when a tool’s definition is not the accepted one: `alarm` tells, `hide` also refuses it and takes it out of lists, `freeze` holds what calls it, until an operator accepts it'),
  record: z.strictObject({
    arguments: z.enum(['digests', 'values']).prefault('digests').describe('Digests of arguments are always on record; `values` puts them there too, but for what `redact` hides'),
    redact: list(z.string().max(256), 256).optional().describe('What of them is never on record: JSON pointers (`/card/number`) or names (`password`) at any depth; `password`, `secret`, `token`, `authorization`, `api_key` and `credential` always'),
  }).prefault({}).describe('What of arguments is on record'),
})
