"""`make bench-sandbox`: what a call costs in each tier of the sandbox, and what engines hold."""
