"""The operator's routes, /o/v1/…."""
