"""What tools written for Letta take as `agent_state`: the agent and its memory, by host calls.

Nothing is asked of the host before it is used, so that a tool needs grants only for what it does.
What is written to a block is an edit of the agent's memory at once, or refused at once.
"""


class Block:
    """A memory block; setting its `value` edits the agent's memory."""

    def __init__(self, call, fields):
        self._call, self._value = call, fields["value"]
        self.id, self.label, self.limit = fields["id"], fields["label"], fields["limit"]
        self.description, self.read_only = fields["description"], fields["read_only"]

    @property
    def value(self):
        return self._value

    @value.setter
    def value(self, value):
        if not isinstance(value, str):
            raise ValueError(f"a block's value is a text, not {value!r}")
        self._call("memory.write", label=self.label, value=value)
        self._value = value

    def __repr__(self):
        return f"Block(label={self.label!r}, value={self._value!r})"


class Memory:
    """The blocks of the agent, as the turn sees them when the first is asked for."""

    def __init__(self, call):
        self._call, self._blocks = call, None

    @property
    def blocks(self):
        if self._blocks is None:
            found = self._call("memory.read", blocks=True)
            self._blocks = [Block(self._call, fields) for fields in found]
        return self._blocks

    def list_block_labels(self):
        return [block.label for block in self.blocks]

    def get_block(self, label):
        for block in self.blocks:
            if block.label == label:
                return block
        known = ", ".join(self.list_block_labels()) or "none"
        raise KeyError(f"there is no memory block {label!r}; the blocks are: {known}")

    def update_block_value(self, label, value):
        self.get_block(label).value = value


class AgentState:
    """The agent that calls the tool."""

    def __init__(self, call):
        self._call, self._is_read = call, False
        self.memory = Memory(call)

    @property
    def blocks(self):
        return self.memory.blocks

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        if not self._is_read:
            self.__dict__.update(self._call("agent.read"))
            self._is_read = True
            if name in self.__dict__:
                return self.__dict__[name]
        known = ", ".join(sorted(each for each in self.__dict__ if not each.startswith("_")))
        raise AttributeError(f"agent_state has no {name!r} here; it has: {known}, blocks")
