"""The bridge: the only way out of an instance, and where what it may do is decided.

One process (`python -m o_platform.bridge`). `listeners` keeps one Unix socket per instance, made
from the rows of `instances`; who calls is known by the socket alone. `service` runs turns: each
request once, the turns of one agent in order, each under a fencing token. What turns read and where
they are written is a `Records`: `durable` for stable and canary instances, `shadow` and `bench` for
the roles that must change nothing. `commits` writes many turns in one transaction.
"""
