"""Identities: whom an agent is for."""
