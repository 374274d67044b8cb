// The settings of one worker out of those of all: what each writes for itself stands in files of its own. Pure. SPEC: ADM20
import type { Settings } from '../config/settings.ts'
import type { Seat } from './messages.ts'

/** `trail.jsonl` of seat 1 is `trail.w1.jsonl`; without a seat it is the file itself. */
export function fileOfSeat(file: string, seat: Pick<Seat, 'index'> | null): string {
  if (seat === null) return file
  const slash = file.lastIndexOf('/')
  const dot = file.lastIndexOf('.')
  const end = dot > slash + 1 ? dot : file.length
  return `${file.slice(0, end)}.w${seat.index}${file.slice(end)}`
}

export function settingsOfWorker(settings: Settings, seat: Pick<Seat, 'index'>): Settings {
  const { trail, noise, recording } = settings.audit
  return { ...settings, audit: { trail: { ...trail, file: fileOfSeat(trail.file, seat) }, noise: { ...noise, file: fileOfSeat(noise.file, seat) }, recording: { ...recording, file: fileOfSeat(recording.file, seat) } } }
}
