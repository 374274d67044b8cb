// Runs every micro-benchmark in this process and prints one line of JSON (Micros). Started pinned by micro.ts.
import { admitMicros, gateMicros } from './micro-enforcement.ts'
import { evaluateMicros } from './micro-evaluate.ts'
import { riskMicros } from './micro-risk.ts'
import type { Micros } from './micro.ts'

const micros: Micros = { evaluateMicros: evaluateMicros(), admitMicros: await admitMicros(), riskMicros: await riskMicros(), gateMicros: await gateMicros() }
process.stdout.write(`${JSON.stringify(micros)}\n`)
