// What `demo --stay` prints: where everything is, a token, and commands that can be pasted as they stand.
import type { Narrator } from './narrator.ts'
import { observe } from './observation.ts'
import type { SetUp } from './set-up.ts'

const CLI = 'npm run -s narrowgate --'

/** @param session id of the agent's session */
function commandsOf({ urls, token, issuer, stateDir }: SetUp, session: string): readonly (readonly [about: string, commands: readonly string[]])[] {
  const call = `curl -sS -H "Authorization: Bearer $TOKEN"`
  return [
    ['In another terminal, in this directory:', [`export TOKEN=${token}`, `export NARROWGATE_SERVER=${urls.admin} NARROWGATE_TOKEN_FILE=${stateDir}/admin.token SESSION=${session}`]],
    ['As the agent: read, try to write, see what may be asked for:', [`${call} ${urls.proxy}/orders/42`, `${call} -X POST ${urls.proxy}/orders/42/refund`, `${call} ${urls.proxy}/.narrowgate/profiles`]],
    ['An operator opens a ticket; the agent asks for the elevation and uses it:', [
      `${CLI} anchor open ticket DEMO-1 --reason 'customer asks for a refund'`,
      `${call} ${urls.proxy}/.narrowgate/elevations -d '{"profile":"refund-case","purpose":{"ticket":"DEMO-1"}}'`,
      `${call} -H 'Narrowgate-Ticket: DEMO-1' -X POST ${urls.proxy}/orders/42/refund`,
    ]],
    ['Leave feeds open, one on the elevation and one on the baseline (in two more terminals):', [`${call} -N -H 'Narrowgate-Ticket: DEMO-1' ${urls.proxy}/feeds/payments`, `${call} -N ${urls.proxy}/feeds/orders`]],
    ['Look, freeze, resume:', [`${CLI} get sessions`, `${CLI} describe session $SESSION`, `${CLI} freeze $SESSION --reason 'a second look'`, `${CLI} resume $SESSION --reason 'looks fine'`]],
    ['End the ticket (the first feed is cut, the second runs on), or everything:', [`${CLI} anchor end ticket DEMO-1 --reason refunded`, `${CLI} terminate $SESSION --reason 'enough'`]],
    ['What the trail says:', [`${CLI} audit show session/$SESSION`, `${CLI} audit verify --file ${stateDir}/trail.jsonl`, `curl -sS ${urls.ops}/metrics | grep narrowgate_exchanges`]],
    ['A new token, for instance after terminate:', [`export TOKEN=$(curl -sS ${issuer.origin}/token)`]],
  ]
}

/** Opens the agent's session, so that there is one to look at, and prints the rest. @throws NotObserved */
export async function invite(at: SetUp, narrator: Narrator): Promise<void> {
  const { status, json } = await at.agent.ask('GET', '/.narrowgate/session')
  observe('the agent has a session', 200, status)
  narrator.paragraph(`Running until Ctrl-C. Change ${at.configFile} and it is taken over at once.`)
  for (const [about, commands] of commandsOf(at, String(json['id']))) {
    narrator.paragraph(`# ${about}`)
    for (const command of commands) narrator.plain(command)
  }
}
