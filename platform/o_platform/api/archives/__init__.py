"""Archives: collections of passages that agents can share."""
