// `npm run demo:agent`: plays the agents' story, at most 30 seconds; exit 0 only if each step was seen.
import { Narrator, wantsColour } from '../../src/cli/demo/narrator.ts'
import { NotObserved } from '../../src/cli/demo/observation.ts'
import { type SetUp, setUp } from './set-up.ts'
import { Story } from './story.ts'

const DEADLINE_MS = 25_000

function deadline(): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  setTimeout(() => reject(new NotObserved('the story ends in time', `within ${DEADLINE_MS / 1000} s`, 'it did not')), DEADLINE_MS - performance.now()).unref()
  return promise
}

const narrator = new Narrator({ out: text => void process.stdout.write(text), colour: wantsColour(process.env, process.stdout.isTTY) })
let at: SetUp | null = null
try {
  at = await setUp()
  narrator.title(`Narrowgate demo for agents: MCP ${at.urls.mcp}, admin ${at.urls.admin}, health and metrics ${at.urls.ops}`)
  narrator.plain(`MCP server ${at.server.url}`)
  await Promise.race([new Story(at, narrator).play(), deadline()])
} catch (error) {
  process.exitCode = 1
  if (error instanceof NotObserved) narrator.failed(error.message, error.expected, error.seen)
  else narrator.failed('the demo runs', 'no error', error instanceof Error ? (error.stack ?? error.message) : String(error))
} finally {
  await at?.close()
}
