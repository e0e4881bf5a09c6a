"""Measurements of the platform, reproducible by one command each."""
