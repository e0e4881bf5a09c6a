"""Archival memory: passages of text, found again by meaning and by word."""
