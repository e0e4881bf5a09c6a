"""Groups: agents and the companions that keep their memory."""
