#!/usr/bin/env node
// The program: looks at the Node version before anything else is loaded, then runs one command. Exit 78 (EX_CONFIG) where Node is too old.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)

if (major < 24 || (major === 24 && minor < 15)) {
  process.stderr.write(`narrowgate needs Node 24.15 or newer; this is ${process.versions.node}\n`)
  process.exit(78)
}

const { runCommandLine } = await import('./cli/command-line.ts')

process.exitCode = await runCommandLine(process.argv.slice(2), {
  out: text => void process.stdout.write(text),
  err: text => void process.stderr.write(text),
  env: process.env,
  onSignal: (signal, listener) => {
    process.on(signal, listener)
    return () => void process.off(signal, listener)
  },
  quit: exit => process.exit(exit),
  demo: async options => (await import('./cli/commands/demo.ts')).runDemo(options),
})
