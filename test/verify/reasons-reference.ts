// docs/reasons.md, made from the closed list in core/reason.ts. Written by `npx vitest run --project verify -u`, diffed by CI.
import { REASON_WORDS, REASONS } from '../../src/core/reason.ts'

const OPENING = `# Reasons

Why a request was refused or something open ended: one closed list. The word is what callers read in \`reason\` of a problem+json body
(\`type\` is \`urn:narrowgate:reason:<word>\`), what metrics carry as a label and what the audit log says. Made from \`src/core/reason.ts\`; do not edit.

*Use*: a \`refusal\` answers a new request, an \`end\` is why a session, elevation or exchange is over. *Challenge*: what \`WWW-Authenticate\`
says. *Open exchanges*: what losing a right for this reason does to them.
`

export function reasonsReference(): string {
  const rows = REASON_WORDS.map(word => {
    const { use, status, challenge, loss, says } = REASONS[word]
    return `| \`${word}\` | ${use === 'both' ? 'refusal, end' : use} | ${status} | ${challenge === 'none' ? '' : `\`${challenge}\``} | ${loss === 'freeze' ? 'frozen' : 'cut'} | ${says} |`
  })
  return `${OPENING}\n| reason | use | status | challenge | open exchanges | it says |\n| --- | --- | --- | --- | --- | --- |\n${rows.join('\n')}\n`
}
