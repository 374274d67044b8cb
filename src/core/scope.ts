// A Scope is a set of scope names such as `customers:read`. Sorted and without duplicates, so that equal scopes are equal text.
// SPEC: SCP1
export type ScopeName = string
export type Scope = readonly ScopeName[]

export const NO_SCOPE: Scope = []

export const scopeOf = (names: Iterable<ScopeName>): Scope => [...new Set(names)].sort()
export const covers = (scope: Scope, name: ScopeName): boolean => scope.includes(name)
export const intersection = (a: Scope, b: Scope): Scope => a.filter(name => b.includes(name))
