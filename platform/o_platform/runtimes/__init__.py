"""Instances: running copies of variants, in containers or processes."""
