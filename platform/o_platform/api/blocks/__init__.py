"""Blocks on their own."""
