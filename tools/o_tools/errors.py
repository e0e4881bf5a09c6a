"""The one failure of a tool that the model is meant to see."""


class ToolError(Exception):
    """The call cannot be carried out as the model wrote it; the text tells the model why."""
