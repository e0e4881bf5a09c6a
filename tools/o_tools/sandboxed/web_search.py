"""`web_search`: the web as Exa finds it, with the agent's own key."""

from __future__ import annotations

import json
from typing import Any, Literal

Category = Literal[
    "company", "research paper", "news", "pdf", "github", "tweet", "personal site",
    "linkedin profile", "financial report",
]  # fmt: skip


def web_search(
    query: str,
    num_results: int = 10,
    category: Category | None = None,
    include_text: bool = False,
    include_domains: list[str] | None = None,
    exclude_domains: list[str] | None = None,
    start_published_date: str | None = None,
    end_published_date: str | None = None,
    user_location: str | None = None,
) -> dict[str, Any]:
    """Search the web and get a list of pages, best first.

    Args:
        query: what to look for, in plain words.
        num_results: how many pages, 1 to 100.
        category: only pages of this kind.
        include_text: with the text of each page; else with its passages that fit best.
        include_domains: only pages of these domains.
        exclude_domains: no pages of these domains.
        start_published_date: ISO 8601; only pages from then on.
        end_published_date: ISO 8601; only pages until then.
        user_location: country of the user as two letters, such as DE.
    """
    import o

    wanted = {
        "query": query,
        "numResults": max(1, min(num_results, 100)),
        "type": "auto",
        "contents": {"text": True} if include_text else {"highlights": True},
        "category": category,
        "includeDomains": include_domains,
        "excludeDomains": exclude_domains,
        "startPublishedDate": start_published_date,
        "endPublishedDate": end_published_date,
        "userLocation": user_location,
    }
    answer = o.http.fetch(
        url="https://api.exa.ai/search",
        method="POST",
        headers={"x-api-key": o.secrets.use(name="EXA_API_KEY")},
        json={name: value for name, value in wanted.items() if value is not None},
        timeout_s=25.0,
    )
    if answer["status"] != 200:
        said = answer.get("text", "")[:500]
        raise RuntimeError(
            f"api.exa.ai answered {answer['status']}: {said}; if it is about the key, set the "
            "agent's secret EXA_API_KEY anew, else search again later"
        )
    return {"query": query, "results": [_result(page) for page in _pages(answer.get("text", ""))]}


def _pages(text: str) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = json.loads(text)["results"]
    except (ValueError, KeyError, TypeError):
        raise RuntimeError(
            f"api.exa.ai sent no list of results but {text[:200]!r}; search again later"
        ) from None
    return found


def _result(page: dict[str, Any]) -> dict[str, Any]:
    names = {
        "title": "title", "url": "url", "publishedDate": "published_date", "author": "author",
        "highlights": "highlights", "text": "text",
    }  # fmt: skip
    return {ours: page[theirs] for theirs, ours in names.items() if page.get(theirs)}
