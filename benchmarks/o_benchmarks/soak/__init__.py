"""Thousands of turns of every kind, and what the platform's processes hold in between."""
