"""Agents, their blocks and their history: what the API reads and writes of them."""
