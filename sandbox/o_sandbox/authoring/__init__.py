"""Tools as their authors write them: what a model is told of a function, read from its source.

The source is parsed and never executed, so that a stranger's can be described on the host. The one
way from type hints and a Google docstring to a JSON schema: `describe`.
"""

from o_sandbox.authoring.definition import Definition, ToolDefinitionError
from o_sandbox.authoring.describing import describe, describe_function

__all__ = ["Definition", "ToolDefinitionError", "describe", "describe_function"]
