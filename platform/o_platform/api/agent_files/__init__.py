"""Agent files over the API."""
