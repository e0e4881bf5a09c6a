"""Scheduled turns of agents."""
