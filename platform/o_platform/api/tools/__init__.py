"""Tools over the API."""
