"""Finds the route of a request without trying all of them.

The framework tries its routes one after the other; a twentieth of a millisecond passes before the
last of some two hundred has been tried. This looks up those few that a request of this method, with
these first two segments and so many in all, can mean at all, and tries them in their order. Where
none of them fits (a wrong method, a path that is not there), all are tried as the framework would,
so that its answers stay the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, Match, Mount, NoMatchFound, Route
from starlette.types import Receive, Scope, Send

_FOUND: Final = "o_route"
"""Where a request's scope has the route that was found."""
_PREFIX: Final = 3
"""Parts of a split path up to and including its second segment."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


class Found(NamedTuple):
    """A route, and what it adds to the scope of a request that it takes."""

    route: BaseRoute
    scope: Scope


class RouteTable(BaseRoute):
    """All routes as one; `routes` are tried in this order."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        """The table is complete: routes that are added later are not found."""
        self.routes: Sequence[BaseRoute] = tuple(routes)
        templates = [_parts(route.path) for route in self.routes if isinstance(route, Route)]
        self._longest = max(map(len, templates), default=0) + 1
        self._prefixes = {"/".join(parts[:_PREFIX]) for parts in templates}
        self._candidates: dict[tuple[str, str, int], Sequence[BaseRoute]] = {}

    def found(self, scope: Scope) -> Found | None:
        """The route that takes the request; none if only trying all of them could tell."""
        for route in self._likely(scope):
            match, child = route.matches(scope)
            if match is Match.FULL:
                return Found(route, child)
        return None

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether one of the routes takes the request."""
        found = self.found(scope)
        if found is None:
            return self._tried(scope)
        return Match.FULL, {**found.scope, _FOUND: found.route}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request to the route that was found."""
        await scope[_FOUND].handle(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """The path of a route by its name.

        Raises:
            NoMatchFound: no route has this name and these parameters.
        """
        for route in self.routes:
            try:
                return route.url_path_for(name, **path_params)
            except NoMatchFound:
                continue
        raise NoMatchFound(name, path_params)

    def _likely(self, scope: Scope) -> Sequence[BaseRoute]:
        parts = _parts(scope["path"])
        prefix = "/".join(parts[:_PREFIX])
        method = scope.get("method", "")
        if prefix not in self._prefixes or method not in _METHODS:
            return ()
        key = method, prefix, min(len(parts), self._longest)
        found = self._candidates.get(key)
        if found is None:
            found = self._candidates[key] = tuple(r for r in self.routes if _may_take(r, *key))
        return found

    def _tried(self, scope: Scope) -> tuple[Match, Scope]:
        partial: tuple[Match, Scope] | None = None
        for route in self.routes:
            match, child = route.matches(scope)
            if match is Match.FULL:
                return match, {**child, _FOUND: route}
            if match is Match.PARTIAL and partial is None:
                partial = match, {**child, _FOUND: route}
        return partial or (Match.NONE, {})


def _may_take(route: BaseRoute, method: str, prefix: str, count: int) -> bool:
    """Whether a path of `count` parts that begins with `prefix` can be this route's."""
    if isinstance(route, Mount):
        return _agree(_parts(route.path), prefix)
    if not isinstance(route, Route):
        return True
    template = _parts(route.path)
    if route.methods and method not in route.methods:
        return False
    if len(template) != count and not (":path}" in route.path and len(template) <= count):
        return False
    return _agree(template, prefix)


def _agree(template: Sequence[str], prefix: str) -> bool:
    pairs = zip(template, prefix.split("/"), strict=False)
    return all(part == wanted or "{" in part for part, wanted in pairs)


def _parts(path: str) -> list[str]:
    return path.split("/")
