"""Small pieces of Envoy's JSON: typed configurations, matchers, resource files.

Names and fields are those of Envoy's v3 protocol buffers; `typed` wraps a message the way their
JSON mapping wants an `Any`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]


def typed(message: str, **fields: Any) -> Json:
    """`message` (full name, without the `type.googleapis.com/` prefix) as an `Any`."""
    return {"@type": f"type.googleapis.com/{message}", **fields}


def extension(name: str, message: str, **fields: Any) -> Json:
    """A named extension with its typed configuration."""
    return {"name": name, "typed_config": typed(message, **fields)}


def pipe(path: str, mode: int | None = None) -> Json:
    """The address of a Unix socket; `mode` only for one that Envoy creates."""
    return {"pipe": {"path": path} if mode is None else {"path": path, "mode": mode}}


def watched_file(path: str) -> Json:
    """A configuration source: a file that is replaced by renaming another one over it."""
    folder = path.rpartition("/")[0]
    source = {"path": path, "watched_directory": {"path": folder}}
    return {"resource_api_version": "V3", "path_config_source": source}


def header_is(name: str, value: Json) -> Json:
    """A matcher predicate: the request's header `name` satisfies the string matcher `value`."""
    return {"single_predicate": {"input": header_input(name), "value_match": value}}


def header_input(name: str) -> Json:
    """The request's header `name` as the input of a matcher."""
    message = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput"
    return extension("header", message, header_name=name)


def full_match(regex: str) -> Json:
    """A string matcher of predicates for values that match `regex` (RE2) from end to end."""
    return {"safe_regex": {"google_re2": {}, "regex": regex}}


def all_of(*predicates: Json) -> Json:
    """True when every predicate is."""
    return {"and_matcher": {"predicate": list(predicates)}}


def any_of(*predicates: Json) -> Json:
    """True when one of the predicates is."""
    return {"or_matcher": {"predicate": list(predicates)}}


def negation(predicate: Json) -> Json:
    """True when the predicate is not."""
    return {"not_matcher": predicate}


def first_match(cases: Iterable[tuple[Json, Json]], otherwise: Json) -> Json:
    """A matcher: the outcome of the first case whose predicate holds."""
    matchers = [{"predicate": predicate, "on_match": outcome} for predicate, outcome in cases]
    if not matchers:
        return {"on_no_match": otherwise}
    return {"matcher_list": {"matchers": matchers}, "on_no_match": otherwise}


def lookup(header: str, kind: str, outcomes: Mapping[str, Json], otherwise: Json) -> Json:
    """A matcher: one look-up of a header's value, `kind` is `exact` or (longest) `prefix`."""
    if not outcomes:
        return {"on_no_match": otherwise}
    tree = {"input": header_input(header), f"{kind}_match_map": {"map": dict(outcomes)}}
    return {"matcher_tree": tree, "on_no_match": otherwise}


def canonical(document: Any) -> str:
    """`document` as JSON that is equal for equal documents."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def content_digest(document: Any) -> str:
    """Twelve hex digits that name a document's content."""
    return hashlib.sha256(canonical(document).encode()).hexdigest()[:12]


def resource_file(resources: list[Json]) -> str:
    """A file of resources whose `version_info` is the digest of its content."""
    return canonical({"version_info": content_digest(resources), "resources": resources})
