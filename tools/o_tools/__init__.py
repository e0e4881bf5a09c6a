"""Built-in tools: what the model is told of each, and the pure part of what each does.

Each has a manifest in `tool.toml` (`manifests` reads it): its description, arguments, tier, grants,
effects and limits; `catalogue` is derived from it. `edits` are changes of a memory block's text,
`queries`, `files` and `documents` the arguments of the others. The bridge executes them.
"""
