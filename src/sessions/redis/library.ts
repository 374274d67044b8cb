// The Lua library: its parts as one text, its functions with their flags, and the same bodies as scripts for servers without functions.
// The name carries the version, so that two releases run side by side; the build tells texts of one name apart. SPEC: STO14
import { readFileSync } from 'node:fs'
import { sha256 } from '../../runtime/id.ts'

export const LIBRARY = 'ng1'

type Flags = 'allow-oom' | 'no-writes' | 'none'
/** Each function's name on the wire, its name in the text, and what the server may assume of it. Restrictive ones work when memory is full. */
const FUNCTIONS = {
  hello: ['hello', 'no-writes'], hb: ['heartbeat', 'allow-oom'], commit: ['commit', 'none'], commit_restrictive: ['commit_restrictive', 'allow-oom'],
  get: ['get', 'no-writes'], check: ['check', 'no-writes'], list: ['list', 'allow-oom'], find: ['find', 'allow-oom'], prune: ['prune', 'allow-oom'], touch: ['touch', 'allow-oom'],
  keep: ['keep', 'allow-oom'], kept: ['kept', 'no-writes'], drain: ['drain', 'allow-oom'], drained: ['drained', 'allow-oom'], undrain: ['undrain', 'allow-oom'],
  take: ['take', 'none'], give: ['give', 'allow-oom'], taken: ['taken', 'no-writes'], share: ['share', 'none'], mark: ['mark', 'none'], pool: ['pool', 'none'], enqueue: ['enqueue', 'none'], waiting: ['waiting', 'allow-oom'], dequeue: ['dequeue', 'allow-oom'],
  ack: ['acknowledge', 'allow-oom'], members: ['members', 'no-writes'], leave: ['leave', 'allow-oom'], survey: ['survey', 'allow-oom'],
} as const satisfies { readonly [name: string]: readonly [string, Flags] }
export type FunctionName = keyof typeof FUNCTIONS

const PARTS = ['frame', 'index', 'heartbeat', 'commit', 'read', 'budget', 'pool', 'queue']
const bodies = PARTS.map(part => readFileSync(new URL(`./${part}.lua`, import.meta.url), 'utf8')).join('\n')
const entries = Object.entries(FUNCTIONS)

/** What tells this text from another one of the same name. */
export const BUILD: string = sha256(`${bodies}${JSON.stringify(FUNCTIONS)}`).slice(0, 12)
/** Functions run with the rights of their caller: every command in them. */
const COMMANDS = [...new Set([...bodies.matchAll(/redis\.call\('([A-Z]+)'/g)].map(([, name = '']) => name.toLowerCase()))].toSorted()
const text = `${bodies}
local function hello(k)
  local lacks = {}
  for command in string.gmatch('${COMMANDS.join(' ')}', '%a+') do
    if redis.acl_check_cmd and not redis.acl_check_cmd(command, k[1]) then lacks[#lacks + 1] = '+' .. command end
  end
  return { '${BUILD}', FORMAT, table.concat(lacks, ' ') }
end
`

const register = ([name, [local, flags]]: readonly [string, readonly [string, Flags]]): string =>
  flags === 'none' ? `redis.register_function('${LIBRARY}_${name}', ${local})` : `redis.register_function{function_name='${LIBRARY}_${name}', callback=${local}, flags={'${flags}'}}`

/** For FUNCTION LOAD. */
export const LIBRARY_TEXT = `#!lua name=${LIBRARY}\n${text}${entries.map(register).join('\n')}\n`

/** For EVAL: the function's name is the first argument. One text per set of flags, as a script has but one. */
const script = (flags: Flags): string => {
  const own = entries.filter(([, [, its]]) => its === flags).map(([name, [local]]) => `${name}=${local}`)
  return `#!lua${flags === 'none' ? '' : ` flags=${flags}`}\n${text}local F = {${own.join(',')}}\nreturn F[table.remove(ARGV, 1)](KEYS, ARGV)\n`
}
const SCRIPTS: { readonly [F in Flags]: string } = { 'allow-oom': script('allow-oom'), 'no-writes': script('no-writes'), none: script('none') }

/** The script that holds this function. */
export const scriptOf = (name: FunctionName): string => SCRIPTS[FUNCTIONS[name][1]]
