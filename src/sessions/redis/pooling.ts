// Parts said to one shard, and those of everybody that it gives for them: as many calls as it takes for answers of a bounded length. SPEC: STO20
import type { Part } from '../store.ts'
import { StoreFault } from '../store-fault.ts'

/** A part, and where its answer belongs. */
export type Placed = { readonly part: Part; readonly at: number }

const argsOf = (placed: readonly Placed[]): readonly (string | number)[] => placed.flatMap(({ part: { name, text, forgetAt } }) => [name, forgetAt, text])

export async function poolIn(placed: readonly Placed[], call: (args: readonly (string | number)[]) => Promise<unknown>, tell: (at: number, texts: readonly string[]) => void): Promise<void> {
  for (let rest = placed; rest.length > 0;) {
    const told = (await call(argsOf(rest))) as readonly (readonly string[])[] // as `pool` returns it
    if (told.length === 0 || told.length > rest.length) throw new StoreFault('corrupt', 'the library tells of other parts than it was asked for')
    for (const [i, { at }] of rest.slice(0, told.length).entries()) tell(at, told[i] ?? [])
    rest = rest.slice(told.length)
  }
}
