// Closes what was opened, in turn and whatever becomes of one of them.
export type Closer = () => Promise<unknown> | void

/** @throws what the first failure was, after everything was tried */
export async function closeAll(closers: readonly Closer[]): Promise<void> {
  const failures: unknown[] = []
  for (const close of closers) await (async () => close())().catch((error: unknown) => failures.push(error))
  if (failures.length > 0) throw failures[0]
}
