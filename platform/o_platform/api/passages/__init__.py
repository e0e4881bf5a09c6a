"""Passages: an agent's archival memory, and search of all of them."""
