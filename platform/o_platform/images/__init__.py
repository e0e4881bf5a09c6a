"""Genomes and the container images made from them."""
