"""Sandboxes for tools written by strangers, models and agents."""
