"""What memory costs, measured apart from the rest of the platform.

`python -m o_benchmarks.memory NAME…`, on an embedded PostgreSQL of its own. CPU time where that
will do, since a busy machine harms it less; what is compared is measured alternately.
"""
