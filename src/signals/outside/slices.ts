// Does something for each of many, so many at once. One that fails keeps none of the others from being done. SPEC: OUT3

const AT_ONCE = 64

/** @throws what failed first, when all are through */
export async function inSlices<T, R>(all: readonly T[], act: (one: T) => Promise<R>): Promise<readonly R[]> {
  const done: R[] = []
  const faults: unknown[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    for (let i = next++; i < all.length; i = next++) {
      const one = all[i] as T // within its length
      await act(one).then(result => { done[i] = result }, (error: unknown) => { faults.push(error) })
    }
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, all.length) }, worker))
  if (faults.length > 0) throw faults[0]
  return done
}
