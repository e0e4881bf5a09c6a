"""Typed models of every table, a module for each noun.

Text ids carry their prefix. Time is `timestamptz`.
"""

from o_platform.db.models.agents import Agent, AgentBlock, Block
from o_platform.db.models.background import BackgroundRun, RunEvent
from o_platform.db.models.base import NAMING, Base
from o_platform.db.models.block_versions import BlockVersion
from o_platform.db.models.conversations import Conversation
from o_platform.db.models.delivery import (
    Attempt,
    Image,
    Instance,
    Lineage,
    LineageVariant,
    Rollout,
    RolloutEvent,
    Variant,
)
from o_platform.db.models.encryption import EncryptionKey
from o_platform.db.models.folders import AgentFolder, File, Folder, OpenFile
from o_platform.db.models.groups import Group
from o_platform.db.models.identities import Identity
from o_platform.db.models.mcp import McpServer, McpTool
from o_platform.db.models.memory import AgentArchive, Archive, Passage, PassageVector
from o_platform.db.models.message_index import IndexedMessage, LongHistory
from o_platform.db.models.operations import ApiKey, Event, LlmUsage
from o_platform.db.models.schedules import Schedule
from o_platform.db.models.tools import AgentSecret, Tool
from o_platform.db.models.turns import JournalEntry, Message, Run, Step, StepTrace, fence_epoch
from o_platform.db.models.windows import Window

__all__ = [
    "Agent",
    "AgentArchive",
    "AgentBlock",
    "AgentFolder",
    "AgentSecret",
    "ApiKey",
    "Archive",
    "Attempt",
    "BackgroundRun",
    "Base",
    "Block",
    "BlockVersion",
    "Conversation",
    "EncryptionKey",
    "Event",
    "File",
    "Folder",
    "Group",
    "Identity",
    "Image",
    "IndexedMessage",
    "LongHistory",
    "Instance",
    "JournalEntry",
    "Lineage",
    "LineageVariant",
    "LlmUsage",
    "McpServer",
    "McpTool",
    "Message",
    "NAMING",
    "OpenFile",
    "Passage",
    "PassageVector",
    "Rollout",
    "RolloutEvent",
    "Run",
    "RunEvent",
    "Schedule",
    "Step",
    "StepTrace",
    "Tool",
    "Variant",
    "Window",
    "fence_epoch",
]
