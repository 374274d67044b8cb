// Questions to every gateway that change nothing: what would a selector touch now. Who does not answer in time is left out, and said to be. SPEC: RULES 28
import { newNonce } from '../../runtime/id.ts'
import type { Reach, Survey } from '../store.ts'
import type { Roll } from './acknowledgements.ts'

const ANSWERED_WITHIN = 500

export class Surveys {
  readonly #open = new Map<string, (reach: Reach) => void>()

  answered(survey: string, reach: Reach): void { this.#open.get(survey)?.(reach) }

  /** @param publish asks everybody under that id; returns who is there */
  async ask(publish: (id: string) => Promise<Roll>): Promise<Survey> {
    const id = newNonce()
    const answers: Reach[] = []
    const enough = Promise.withResolvers<void>()
    let total = Infinity
    this.#open.set(id, reach => {
      answers.push(reach)
      if (answers.length >= total) enough.resolve()
    })
    const timer = setTimeout(enough.resolve, ANSWERED_WITHIN)
    try {
      const roll = await publish(id)
      total = roll.members.filter(({ endsAt }) => endsAt >= roll.now).length
      if (answers.length < total) await enough.promise
      return { sessions: Math.max(0, ...answers.map(({ sessions }) => sessions)), exchanges: answers.reduce((sum, { exchanges }) => sum + exchanges, 0), gateways: { total, answered: answers.length } }
    } finally {
      clearTimeout(timer)
      this.#open.delete(id)
    }
  }
}
