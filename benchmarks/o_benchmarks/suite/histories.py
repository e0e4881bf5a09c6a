"""Messages by the million, copied straight into the database, sealed as turns seal them.

The index that recall searches gets those of them that its job would look at; of all others it is
made to believe that they are done. Turns neither read nor write that index.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import psycopg

from o_contracts.ids import new_id, now_us
from o_contracts.messages import Message, MessageType
from o_platform.agents.message_index import LOOK_BACK
from o_platform.agents.stored_messages import stored_message
from o_platform.db import marks
from o_platform.db.sealing import Vault
from o_platform.memory.embedders import HASH_MODEL
from o_platform.memory.embeddings import embed

SAID: Final[tuple[tuple[MessageType, str], ...]] = (
    ("user_message", "hello there, how are you, and what have you been up to all day?"),
    ("assistant_message", "echo: hello there, how are you, and what have you been up to all day?"),
)
_INDEXED: Final = """
INSERT INTO message_index (seq, agent_id, type, words, model, embedding, created_at)
SELECT seq, agent_id, type, %(words)s, %(model)s, %(vector)s, created_at
FROM messages WHERE seq > (SELECT max(seq) FROM messages) - %(newest)s
ON CONFLICT DO NOTHING
"""
_COUNTED: Final = """
UPDATE agents SET message_count = counted.messages
FROM (SELECT agent_id AS id, count(*) AS messages FROM messages GROUP BY 1) AS counted
WHERE agents.id = counted.id
"""


def add_messages(database_url: str, vault: Vault, agents: Sequence[str], count: int) -> None:
    """Give these agents `count` messages in all, each about as many, in turns."""
    rows = itertools.islice(_messages(vault, agents), count)
    columns = "COPY messages (id, agent_id, type, body, created_at) FROM STDIN"
    text = SAID[0][1]
    with psycopg.connect(database_url, autocommit=True) as connection:
        with connection.cursor().copy(columns) as copy:
            for row in rows:
                copy.write_row(row)
        index = {
            "words": marks.vector(vault, text), "model": HASH_MODEL, "vector": str(embed(text)),
            "newest": LOOK_BACK,
        }  # fmt: skip
        connection.execute(_INDEXED, index)
        connection.execute(_COUNTED)
        connection.execute("VACUUM (ANALYZE) messages")


def _messages(vault: Vault, agents: Sequence[str]) -> Iterator[tuple[str, str, str, str, datetime]]:
    now, date = datetime.now(UTC), now_us()
    for agent_id in itertools.cycle(agents):
        for kind, text in SAID:
            stored = stored_message(vault, Message(new_id("message"), kind, date, text))
            yield stored.id, agent_id, kind, f'"{stored.body}"', now
