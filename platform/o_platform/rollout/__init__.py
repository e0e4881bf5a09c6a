"""Rollouts: a variant's way through the gates to `stable`, or out.

`machine` decides (pure), `policy` says by what rules, `gates` gather the evidence, `controller`
carries a decision out, `workflow` makes that durable, `service` is what API, CLI and evolution
call.
"""
