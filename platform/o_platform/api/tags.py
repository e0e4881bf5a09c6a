"""`/v1/tags`: the tags that agents have."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from o_platform.agents import repository
from o_platform.api.deps import DatabaseDep
from o_platform.api.fields import PageQuery

router = APIRouter(prefix="/v1/tags", tags=["tags"])


class TagListQuery(PageQuery):
    """Which tags to list; a cursor is a tag itself."""

    before: str | None = None
    after: str | None = None
    order: Literal["asc", "desc"] = "asc"
    order_by: Literal["name"] = "name"
    query_text: str | None = None
    name: str | None = None


@router.get("")
async def list_tags(database: DatabaseDep, query: Annotated[TagListQuery, Query()]) -> list[str]:
    """List the distinct tags of all agents, in alphabetical order."""
    async with database.unit_of_work() as session:
        return await repository.list_tags(session, query.page(), query.query_text, query.name)
