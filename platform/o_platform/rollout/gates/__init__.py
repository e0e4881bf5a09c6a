"""The gates: each gathers its evidence outside the genome's reach and reports one observation.

`static` reads the genome, `contract` talks to a bench instance, `load` compares two of them under
load, `live` judges shadow, canary and watch from Envoy's log and the engine's counters. `suite`
runs them in the context of one rollout.
"""
