"""Runs and steps, read only."""
