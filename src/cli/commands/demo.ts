// demo: starts the set-up and plays the story, or with `stay` leaves it running until a signal. Whatever happens, everything is closed and
// the state directory removed at the end. SPEC: ADM10
import { Narrator, wantsColour } from '../demo/narrator.ts'
import { NotObserved } from '../demo/observation.ts'
import { type SetUp, setUp } from '../demo/set-up.ts'
import { invite } from '../demo/stay.ts'
import { Story } from '../demo/story.ts'
import type { Terminal } from '../terminal.ts'

/** From the start of the process to the end of the story; what is left of 30 s is for closing. */
const DEADLINE_MS = 25_000

type DemoOptions = { readonly stay: boolean }
type DemoTerminal = Pick<Terminal, 'out' | 'env' | 'onSignal'> & { readonly isTerminal: boolean }

const OWN: DemoTerminal = {
  out: text => void process.stdout.write(text),
  env: process.env,
  isTerminal: process.stdout.isTTY,
  onSignal: (signal, listener) => {
    process.on(signal, listener)
    return () => void process.off(signal, listener)
  },
}

/** The first signal that wants the process to end. */
function untilStopped({ onSignal }: DemoTerminal): { readonly stopped: Promise<void>; readonly release: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  const releases = (['SIGINT', 'SIGTERM'] as const).map(signal => onSignal(signal, resolve))
  return { stopped: promise, release: () => releases.forEach(release => release()) }
}

/** Rejects when the time is over, unless it was released before. */
function deadline(): { readonly passed: Promise<never>; readonly release: () => void } {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new NotObserved('the story ends in time', `within ${DEADLINE_MS / 1000} s`, 'it did not')), DEADLINE_MS - performance.now())
  return { passed: promise, release: () => clearTimeout(timer) }
}

async function playStory(at: SetUp, narrator: Narrator, stopped: Promise<void>): Promise<void> {
  const { passed, release } = deadline()
  const interrupted = stopped.then(() => { throw new NotObserved('the story is played to its end', 'no signal before it', 'a signal') })
  try {
    await Promise.race([new Story(at, narrator).play(), passed, interrupted])
  } finally {
    release()
  }
}

/** @returns true when every step was observed; with `stay`, true once a signal ended it */
export async function runDemo({ stay }: DemoOptions, terminal: DemoTerminal = OWN): Promise<boolean> {
  const narrator = new Narrator({ out: terminal.out, colour: wantsColour(terminal.env, terminal.isTerminal) })
  const { stopped, release } = untilStopped(terminal)
  let at: SetUp | null = null
  try {
    at = await setUp()
    narrator.title(`Narrowgate demo: gateway ${at.urls.proxy}, admin ${at.urls.admin}, health and metrics ${at.urls.ops}`)
    narrator.plain(`toy upstream ${at.upstream.origin}, toy issuer ${at.issuer.origin}, configuration ${at.configFile}`)
    if (!stay) await playStory(at, narrator, stopped)
    else {
      await invite(at, narrator)
      await stopped
    }
    return true
  } catch (error) {
    if (error instanceof NotObserved) narrator.failed(error.message, error.expected, error.seen)
    else narrator.failed('the demo runs', 'no error', error instanceof Error ? error.message : String(error))
    return false
  } finally {
    await at?.close()
    release()
  }
}
