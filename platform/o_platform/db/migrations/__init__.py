"""Alembic's environment; the migrations are in `versions`."""
