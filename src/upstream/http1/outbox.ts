// Heads of requests without a body, written back to back when what is running now is done: the upstream is woken once for many of them.
// What is put here was judged in this very turn, and nothing else runs before it is written. SPEC: ENF2, WIRE12
import type { Socket } from 'node:net'

type Letter = { readonly socket: Socket; readonly head: string }

let letters: Letter[] = []

/** The socket is written to by nobody else meanwhile; where it is destroyed first, nothing is. */
export function post(socket: Socket, head: string): void {
  if (letters.push({ socket, head }) === 1) process.nextTick(deliver)
}

function deliver(): void {
  const posted = letters
  letters = []
  for (const { socket, head } of posted) if (!socket.destroyed) socket.write(head, 'latin1')
}
