"""Counts of messages that are kept must be those of the messages there are."""

from __future__ import annotations

from typing import Final

MISCOUNTED: Final = """
SELECT a.id, a.message_count FROM agents a WHERE a.message_count <> (
  SELECT count(*) FROM messages m WHERE m.agent_id = a.id AND m.conversation_id IS NULL)
UNION ALL
SELECT c.id, c.message_count FROM conversations c WHERE c.message_count <> (
  SELECT count(*) FROM messages m WHERE m.conversation_id = c.id)
"""
"""Threads whose number of messages is not what they have; there are none, whatever tests do."""
