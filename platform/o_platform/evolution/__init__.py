"""Evolution: an agent's lineage proposes changes to its genome and remembers what became of them.

One cycle: retrieve what was tried before → ask the model for one change with a hypothesis and a
predicted effect → make the variant → hand it to a rollout → record the outcome, with its evidence,
as a passage in the archival memory of the lineage's own agent. The proposer never judges: gates and
measurements are outside the genome.
"""
