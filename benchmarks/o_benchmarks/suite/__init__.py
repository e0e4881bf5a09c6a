"""`make bench`: what the platform costs and how fast it recovers.

`testbed` is the platform under test; each module of measurements adds figures to one flat table of
names and numbers (`figures`), which `report` prints, keeps as JSON and compares with a baseline by
ratio. Machines differ and share their cores: CPU time per turn and ratios within one run mean more
than requests per second.
"""
