"""Agents and the blocks they hold."""
