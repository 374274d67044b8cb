// `upstreams.*.txnToken`, `upstreams.*.sign`: what an upstream is told beside Narrowgate-Context, and how it can tell that we said it. SPEC: CFG2, CTX3, CTX8
import { z } from 'zod'
import { duration, filePath, list } from './scalar.ts'

const COMPONENTS_MAX = 32
const DERIVED = ['@method', '@authority', '@scheme', '@target-uri', '@request-target', '@path', '@query']
const DEFAULT_COMPONENTS = ['@method', '@authority', '@path', '@query', 'content-digest', 'narrowgate-context']

const visible = (what: string, most: number) => z.string().regex(/^[!#-[\]-~]+$/, { error: `${what} has visible characters without quotes or backslashes` }).max(most, { error: `${what} has at most ${most} characters` })

const component = z.string().regex(/^@?[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/, { error: 'expected the name of a header, or a derived component such as @method' }).transform(text => text.toLowerCase())
  .refine(text => !text.startsWith('@') || DERIVED.includes(text), { error: `a derived component is one of ${DERIVED.join(', ')}` })

export const txnToken = z.strictObject({
  audience: visible('the name of a trust domain', 256).describe('Name of the trust domain: `aud` of the tokens'),
  life: duration({ least: '30s', most: '5m' }).prefault('30s').describe('Longest life of a token, which may outlive by as much an elevation that ends early; it never goes beyond the time that the elevation had'),
  scope: z.string().regex(/^[\x21\x23-\x5B\x5D-\x7E]+(?: [\x21\x23-\x5B\x5D-\x7E]+)*$/, { error: 'expected scopes, separated by single spaces' }).max(1024).optional().describe('`scope` of every token; default what the elevation adds, or what the rule asks for'),
})

export const sign = z.strictObject({
  keyFile: z.union([z.literal('context'), filePath()]).describe('Ed25519 key (PEM, PKCS#8), or `context` for the key that signs `Narrowgate-Context`, whose public half is in our key set'),
  keyId: visible('the name of a key', 256).optional().describe('`keyid` of a key of its own; default its thumbprint (RFC 7638)'),
  tag: visible('a tag', 64).prefault('narrowgate').describe('`tag` of the signatures'),
  components: list(component, COMPONENTS_MAX).prefault([...DEFAULT_COMPONENTS]).describe(`What is covered, as far as a request has it: names of headers, and ${DERIVED.map(name => `\`${name}\``).join(', ')}. With \`content-digest\` the digest of a body that is read whole is made and covered`),
  expires: duration({ least: '1s', most: '5m' }).prefault('30s').describe('How long a signature counts'),
})
