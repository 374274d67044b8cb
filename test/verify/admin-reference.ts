// docs/admin-api.md, made from the list of operations in src/admin/contract.ts. Written by `npx vitest run --project verify -u`, diffed by CI.
import { z } from 'zod'
import { enforcedAnswer } from '../../src/admin/contract-schemas.ts'
import { OPERATION_NAMES, OPERATIONS, type Operation } from '../../src/admin/contract.ts'

const OPENING = `# Admin API

JSON over HTTP on the listener that serves \`admin\`, by default \`127.0.0.1:9443\`. Made from \`src/admin/contract.ts\`; do not edit.

Every request but those marked *no token* carries \`Authorization: Bearer …\` (a token \`nga_…\`, or a signed one where \`admin.auth.oidc\` says whose), or comes with a client
certificate that \`admin.auth.mtls\` knows. Roles: \`viewer\` reads; \`approver\`, \`operator\` and
\`broker\` also do what is marked with their name; \`admin\` holds the operator's rights and not the approver's. Bodies are \`application/json\` of at most
64 KiB (\`config.validate\`: \`application/yaml\`, 1 MiB); unknown fields are errors. Times are RFC 3339, lengths are written \`15m\`.
Requests of web pages from elsewhere are refused.

A change answers when every gateway has enforced it, with the members listed under [The answer to a change](#the-answer-to-a-change). What only takes
away needs no reason, no version and is never rate-limited; with 202 the store did not answer: it is in force from memory.

Errors are problem+json with \`type\` \`urn:narrowgate:admin:<code>\`: 400 \`bad_request\`, 401 \`unauthenticated\`, 403 \`forbidden\` or \`cross_origin\`, 404 \`not_found\`,
405 \`method_not_allowed\`, 408 \`request_timeout\`, 409 \`conflict\`, 413 \`too_large\`, 415 \`unsupported_media_type\`, 421 \`wrong_host\`, 422 \`invalid_configuration\`,
500 \`internal_error\`, 503 \`store_failed\` or \`limit_reached\`. \`reason\` is one of [the reasons](reasons.md) where the core said no.
`

type Field = { readonly description?: string; readonly type?: string; readonly enum?: readonly string[] }
type Shape = { readonly properties?: Readonly<Record<string, Field>>; readonly required?: readonly string[] }

function fieldsOf(schema: z.ZodType, where: string): readonly string[] {
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Shape // the contract's schemas are objects
  return Object.entries(properties).map(([name, { description = '', enum: choices }]) => {
    const values = choices === undefined ? '' : ` One of ${choices.map(choice => `\`${choice}\``).join(', ')}.`
    return `- \`${name}\` (${where}${required.includes(name) ? ', required' : ''}): ${description}.${values}\n`
  })
}

function membersOf(schema: z.ZodType): readonly string[] {
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { unrepresentable: 'any' }) as Shape // an object by the contract
  return Object.entries(properties).map(([name, field]) => {
    const inner = Object.keys((field as Shape).properties ?? (field as { readonly items?: Shape }).items?.properties ?? {}) // an object, a list of objects, or neither
    return `- \`${name}\`${inner.length === 0 ? '' : ` {${inner.join(', ')}}`}${required.includes(name) ? '' : ' (not always)'}: ${field.description ?? ''}.\n`
  })
}

const rolesText = ({ roles }: Operation): string => (roles.length === 0 ? '*no token*' : roles.map(role => `\`${role}\``).join(', '))

function operationText(name: string, operation: Operation): string {
  const fields = [...fieldsOf(operation.query, 'query'), ...fieldsOf(operation.body, 'body')]
  return `### ${name}\n\n\`${operation.method} ${operation.path}\` · ${rolesText(operation)}\n\n${operation.summary}.\n${fields.length === 0 ? '' : `\n${fields.join('')}`}`
}

export function adminReference(): string {
  const rows = OPERATION_NAMES.map(name => {
    const operation: Operation = OPERATIONS[name]
    return `| \`${operation.method} ${operation.path}\` | ${rolesText(operation)} | ${operation.summary} |\n`
  })
  return `${OPENING}\n| operation | roles | it does |\n| --- | --- | --- |\n${rows.join('')}\n## The answer to a change\n\n${membersOf(enforcedAnswer).join('')}\n## Operations\n\n${OPERATION_NAMES.map(name => operationText(name, OPERATIONS[name])).join('\n')}`
}
