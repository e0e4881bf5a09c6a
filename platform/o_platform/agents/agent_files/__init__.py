"""Agent files (`.af`): agents with their blocks, tools and messages, to take elsewhere."""
