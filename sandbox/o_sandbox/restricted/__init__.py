"""The tier `restricted`: a subset of Python in a worker that stays, for tiny pure functions.

RestrictedPython rewrites the source so that every attribute, item, iteration and import passes a
guard of `policy`. That alone is no boundary, so the worker is one: a process that enters a jail
(`o_sandbox.jail`) before it sees any guest code. The interpreter is shared by the calls of one
worker, which is what makes a call cheap; nothing a guest can reach can be changed.

What guests do without: files, modules (imports give read-only facades), clocks, `async`, `match`,
`nonlocal`, `str.format`, names with a leading underscore.
"""
