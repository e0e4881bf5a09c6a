"""Statistics that stay valid at every look; pure functions on numpy and scipy, no I/O.

A rollout looks at its data twice a second. A test with a fixed sample size, looked at like that,
rejects a harmless variant far too often; everything here holds uniformly over time instead: the
stated error probability is that of *ever* being wrong, however often somebody looks.
"""
