"""Looking for tools by words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from o_platform.agents.paging import Page
from o_platform.agents.tool_repository import ToolFilter
from o_platform.agents.tool_service import ToolService
from o_platform.agents.tools import ToolCatalogue
from o_platform.api.agents.schemas import ToolState
from o_platform.api.agents.views import tool_state
from o_platform.api.tools.schemas import ToolFound, ToolSearch, added_tool_state

MOST_SEARCHED = 5_000
"""Tools that are looked at; the newest ones."""


async def found_tools(
    wanted: ToolSearch, tools: ToolService, catalogue: ToolCatalogue
) -> list[ToolFound]:
    """Tools that share words with the query, ranked by how many; all of them without a query."""
    added = await tools.list(ToolFilter(tags=wanted.tags), Page(limit=MOST_SEARCHED))
    states = [added_tool_state(tool) for tool in added]
    states += [tool_state(spec) for spec in catalogue.specs()]
    states = [state for state in states if _is_wanted(state, wanted)]
    words = _words(wanted.query or "")
    ranked = sorted(states, key=lambda state: -_score(state, words))
    found = [state for state in ranked if not words or _score(state, words) > 0]
    return [_found(state, words, rank) for rank, state in enumerate(found[: wanted.limit], 1)]


def _found(state: ToolState, words: Sequence[str], rank: int) -> ToolFound:
    score = _score(state, words) if words else 1.0
    return ToolFound(tool=state, combined_score=score, fts_rank=rank if words else None)


def _is_wanted(state: ToolState, wanted: ToolSearch) -> bool:
    kinds, tags = wanted.tool_types, wanted.tags
    return (kinds is None or state.tool_type in kinds) and (
        tags is None or bool(set(tags) & set(state.tags))
    )


def _score(state: ToolState, words: Sequence[str]) -> float:
    """The share of the query's words that the tool has; a word of its name counts twice."""
    if not words:
        return 0.0
    name = set(_words(state.name))
    parameters = state.json_schema.get("parameters", {}).get("properties", {})
    text = name | set(_words(state.description)) | set(_words(" ".join(parameters)))
    return sum((word in text) + (word in name) for word in words) / (2 * len(words))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())
