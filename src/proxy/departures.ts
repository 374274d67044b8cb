// Answers that are whole go out together at the end of the turn in which they came: what wakes the other side is paid once for all of them
// instead of for each, and every gate is asked at the moment its bytes leave. Bounded by the exchanges that are open. SPEC: ENF2, WIRE15

/** Something to hand over; asked whether it still may. Never throws. */
export interface Departing {
  depart(): void
}

export class Departures {
  #waiting: Departing[] = []

  add(departing: Departing): void {
    if (this.#waiting.push(departing) === 1) setImmediate(leave, this)
  }

  leave(): void {
    const leaving = this.#waiting
    this.#waiting = []
    for (const departing of leaving) departing.depart()
  }
}

function leave(departures: Departures): void { departures.leave() }
