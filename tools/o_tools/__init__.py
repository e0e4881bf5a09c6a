"""Built-in tools: what a model is told about them, and the code of the pure ones."""
