"""Tools, folders and files, MCP servers, and what exists in the cloud only."""

from __future__ import annotations

import pytest
from letta_client import NotFoundError
from tests.contract.live.methods.registry import TOOL, World, drives, refused

DIFFERS = (
    "required packages are kept and shown, not installed; `agent_state` has what tools.md lists"
)


@drives("tools.create", differs=DIFFERS)
def _(world: World) -> None:
    tool = _tool(world, "create")
    assert tool.name == "add_create"
    assert tool.json_schema is not None
    assert "a" in str(tool.json_schema["parameters"])


@drives("tools.upsert", differs=DIFFERS)
def _(world: World) -> None:
    first = _tool(world, "upsert")
    source = first.source_code or ""
    again = world.letta.tools.upsert(source_code=source, description="new")
    assert again.id == first.id


@drives("tools.retrieve")
def _(world: World) -> None:
    tool = _tool(world, "retrieve")
    assert world.letta.tools.retrieve(tool.id).name == tool.name


@drives("tools.list")
def _(world: World) -> None:
    tool = _tool(world, "list")
    names = [one.name for one in world.letta.tools.list(limit=50)]
    assert {"memory_insert", tool.name} <= set(names)
    assert len(names) == len(set(names))


@drives("tools.update", differs=DIFFERS)
def _(world: World) -> None:
    tool = _tool(world, "update")
    changed = world.letta.tools.update(tool.id, description="new", tags=["t"])
    assert (changed.description, changed.tags) == ("new", ["t"])


@drives("tools.delete")
def _(world: World) -> None:
    tool = _tool(world, "delete")
    world.letta.tools.delete(tool.id)
    with pytest.raises(NotFoundError):
        world.letta.tools.retrieve(tool.id)


@drives("tools.search")
def _(world: World) -> None:
    tool = _tool(world, "search")
    found = world.letta.tools.search(query="add two numbers")
    assert tool.name in [one.tool.name for one in found]


@drives("agents.tools.attach")
def _(world: World) -> None:
    agent, tool = world.agent(), _tool(world, "attach")
    world.letta.agents.tools.attach(tool.id, agent_id=agent.id)
    assert tool.name in [one.name for one in world.letta.agents.tools.list(agent.id)]


@drives("agents.tools.detach")
def _(world: World) -> None:
    tool = _tool(world, "detach")
    agent = world.agent(tool_ids=[tool.id])
    world.letta.agents.tools.detach(tool.id, agent_id=agent.id)
    assert tool.name not in [one.name for one in world.letta.agents.tools.list(agent.id)]


@drives("agents.tools.list")
def _(world: World) -> None:
    agent = world.agent()
    assert "memory_insert" in [one.name for one in world.letta.agents.tools.list(agent.id)]


@drives("agents.tools.run")
def _(world: World) -> None:
    tool = _tool(world, "run")
    agent = world.agent(tool_ids=[tool.id])
    result = world.letta.agents.tools.run(tool.name or "", agent_id=agent.id, args={"a": 40})
    assert (result.status, str(result.func_return)) == ("success", "42")


@drives("agents.tools.update_approval")
def _(world: World) -> None:
    agent = world.agent()
    world.letta.agents.tools.update_approval(
        "memory_insert", agent_id=agent.id, body_requires_approval=True
    )
    rules = [rule.type for rule in world.letta.agents.retrieve(agent.id).tool_rules or []]
    assert "requires_approval" in rules


@drives("folders.create")
def _(world: World) -> None:
    folder = world.letta.folders.create(name="f-create", description="d")
    assert (folder.name, folder.description) == ("f-create", "d")
    assert folder.id.startswith("source-")


@drives("folders.retrieve")
def _(world: World) -> None:
    folder = world.letta.folders.create(name="f-retrieve")
    assert world.letta.folders.retrieve(folder.id).name == "f-retrieve"


@drives("folders.list")
def _(world: World) -> None:
    folder = world.letta.folders.create(name="f-list")
    assert [one.id for one in world.letta.folders.list(name="f-list")] == [folder.id]


@drives("folders.update")
def _(world: World) -> None:
    folder = world.letta.folders.create(name="f-update")
    assert world.letta.folders.update(folder.id, description="new").description == "new"


@drives("folders.delete")
def _(world: World) -> None:
    folder = world.letta.folders.create(name="f-delete")
    world.letta.folders.delete(folder.id)
    with pytest.raises(NotFoundError):
        world.letta.folders.retrieve(folder.id)


@drives("folders.files.upload")
def _(world: World) -> None:
    folder, file = _file(world, "upload")
    found = world.letta.folders.files.retrieve(file, folder_id=folder, include_content=True)
    assert "volcano" in (found.content or "")


@drives("folders.files.list")
def _(world: World) -> None:
    folder, file = _file(world, "files-list")
    assert [one.id for one in world.letta.folders.files.list(folder)] == [file]


@drives("folders.files.retrieve")
def _(world: World) -> None:
    folder, file = _file(world, "files-retrieve")
    assert world.letta.folders.files.retrieve(file, folder_id=folder).id == file


@drives("folders.files.delete")
def _(world: World) -> None:
    folder, file = _file(world, "files-delete")
    world.letta.folders.files.delete(file, folder_id=folder)
    assert list(world.letta.folders.files.list(folder)) == []


@drives("folders.agents.list")
def _(world: World) -> None:
    folder, agent = _attached(world, "agents-list")
    assert list(world.letta.folders.agents.list(folder)) == [agent]


@drives("agents.folders.attach")
def _(world: World) -> None:
    folder, agent = _attached(world, "attach")
    assert [one.id for one in world.letta.agents.folders.list(agent)] == [folder]


@drives("agents.folders.detach")
def _(world: World) -> None:
    folder, agent = _attached(world, "detach")
    world.letta.agents.folders.detach(folder, agent_id=agent)
    assert list(world.letta.agents.folders.list(agent)) == []


@drives("agents.folders.list")
def _(world: World) -> None:
    folder, agent = _attached(world, "list-of-agent")
    assert [one.id for one in world.letta.agents.folders.list(agent)] == [folder]


@drives("agents.files.list")
def _(world: World) -> None:
    _, agent = _attached(world, "files-of-agent")
    assert len(list(world.letta.agents.files.list(agent))) == 1


@drives("agents.files.open")
def _(world: World) -> None:
    _, agent = _attached(world, "open")
    file = _opened(world, agent)
    (shown,) = world.letta.agents.files.list(agent, is_open=True)
    assert shown.file_id == file
    assert "volcano" in (shown.visible_content or "")


@drives("agents.files.close")
def _(world: World) -> None:
    _, agent = _attached(world, "close")
    world.letta.agents.files.close(_opened(world, agent), agent_id=agent)
    assert list(world.letta.agents.files.list(agent, is_open=True)) == []


@drives("agents.files.close_all")
def _(world: World) -> None:
    _, agent = _attached(world, "close-all")
    _opened(world, agent)
    world.letta.agents.files.close_all(agent)
    assert list(world.letta.agents.files.list(agent, is_open=True)) == []


refused("access_tokens.create", lambda c: c.access_tokens.create(hostname="h", policy=[]))
refused("access_tokens.delete", lambda c: c.access_tokens.delete("t"))
refused("access_tokens.list", lambda c: c.access_tokens.list())
refused("environments.list", lambda c: c.environments.list())
refused("environments.retrieve", lambda c: c.environments.retrieve("d"))
refused("environments.send_message", lambda c: c.environments.send_message("c", messages=[]))
refused("templates.create", lambda c: c.templates.create(type="agent", agent_id="a"))
refused("templates.delete", lambda c: c.templates.delete("t"))
refused("templates.rollback", lambda c: c.templates.rollback("t", version="1"))
refused("templates.save", lambda c: c.templates.save("t"))
refused("templates.update", lambda c: c.templates.update("t", agent_file_json={}))
refused("templates.agents.create", lambda c: c.templates.agents.create("t:1"))


def _tool(world: World, suffix: str):  # type: ignore[no-untyped-def]
    return world.letta.tools.create(source_code=TOOL.replace("add", f"add_{suffix}", 1))


def _file(world: World, suffix: str) -> tuple[str, str]:
    folder = world.letta.folders.create(name=f"f-{suffix}")
    text = b"# Iceland\n\nThere is a volcano.\n" * 20
    file = world.letta.folders.files.upload(folder.id, file=(f"{suffix}.md", text))
    return folder.id, file.id


def _attached(world: World, suffix: str) -> tuple[str, str]:
    folder, _ = _file(world, suffix)
    agent = world.agent().id
    world.letta.agents.folders.attach(folder, agent_id=agent)
    return folder, agent


def _opened(world: World, agent_id: str) -> str:
    (file,) = world.letta.agents.files.list(agent_id)
    world.letta.agents.files.open(file.file_id, agent_id=agent_id)
    return file.file_id
