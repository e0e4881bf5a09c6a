"""Traffic: Envoy's configuration as a pure function of the database, its delivery, and its log.

`repository` reads the rows, `snapshot` is what they mean, `render` turns that into files,
`delivery` moves them into place and confirms, `controller` does all of it whenever something
changes; `upstream_log` tells what each attempt at an instance came to.
"""
