"""What a proposer is shown: the genome, recent failures, and what was tried before (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from o_contracts.llm import LlmMessage

MAX_GENOME_CHARS: Final = 60_000
MAX_FILE_CHARS: Final = 12_000

INSTRUCTIONS: Final = """\
You improve the genome of an AI agent: its parameters, prompts, memory policy, tools and step-loop
hooks. Propose exactly one change that you expect to help its users. It will be built, tested,
load-tested, mirrored and canaried on live traffic, and kept only if measurements agree; you cannot
change what measures it. Learn from the attempts below: do not repeat one that failed for a reason
that still holds.

Rules: files live in genome.toml, prompts/, blocks/, tools/*.py, loop/*.py and tests/. Python may
import only pure standard-library modules; it has no network, no environment and no files. A
file's `content` replaces it whole; leave `content` out to remove it.

Answer with one JSON object and nothing else, its metric one of prompt_tokens, latency_ms,
error_rate, quality:
{"hypothesis": "why this helps", "predicted": {"metric": "latency_ms", "change_percent": -10.0},
 "edits": [{"path": "genome.toml", "content": "..."}]}"""


@dataclass(frozen=True, slots=True)
class ProposalContext:
    """Everything a proposer is told.

    `remembered` are passages of earlier attempts, most relevant first; `attempt_count` counts all
    attempts of the lineage, shown or not.
    """

    lineage: str
    genome: Mapping[str, bytes]
    attempt_count: int
    remembered: Sequence[str]
    failures: Sequence[str]


def proposal_messages(context: ProposalContext) -> list[LlmMessage]:
    """The conversation that asks for a proposal."""
    sections = [
        f"Lineage: {context.lineage}",
        f"Attempts so far: {context.attempt_count}",
        _section("Earlier attempts, most relevant first", context.remembered, "none"),
        _section("Recent failures of the stable variant", context.failures, "none"),
        "Current genome:\n" + _genome_text(context.genome),
    ]
    return [
        LlmMessage(role="system", content=INSTRUCTIONS),
        LlmMessage(role="user", content="\n\n".join(sections)),
    ]


def repair_messages(messages: Sequence[LlmMessage], reply: str, problem: str) -> list[LlmMessage]:
    """The same conversation, continued with what was wrong with the reply."""
    return [
        *messages,
        LlmMessage(role="assistant", content=reply),
        LlmMessage(role="user", content=f"{problem}. Answer again with one valid JSON object."),
    ]


def _section(title: str, items: Sequence[str], empty: str) -> str:
    body = "\n\n".join(items) if items else empty
    return f"{title}:\n{body}"


def _genome_text(files: Mapping[str, bytes]) -> str:
    parts: list[str] = []
    left = MAX_GENOME_CHARS
    for path in sorted(files):
        text = files[path].decode(errors="replace")
        if len(text) > min(MAX_FILE_CHARS, left):
            parts.append(f"--- {path} ({len(text)} characters, not shown)")
            continue
        left -= len(text)
        parts.append(f"--- {path}\n{text}")
    return "\n".join(parts)
