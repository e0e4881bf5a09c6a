"""Parameters and answers of agent files."""

from __future__ import annotations

from typing import Annotated

from fastapi import Form, UploadFile
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from o_platform.agents.agent_files.contents import Overrides
from o_platform.api.agents.schemas import Handle, SecretName, SecretValue
from o_platform.api.fields import Name, Str, ThreadId
from o_platform.errors import BadInputError

_SECRETS = TypeAdapter(dict[SecretName, SecretValue])


class ExportQuery(BaseModel):
    """What to export of an agent."""

    conversation_id: ThreadId | None = None
    scrub_messages: bool = False
    use_legacy_format: bool = False
    max_steps: int | None = None


class ImportForm(BaseModel):
    """An agent file, and what is to be different from it."""

    model_config = ConfigDict(extra="ignore")

    file: UploadFile
    append_copy_suffix: bool = False
    override_existing_tools: bool = False
    strip_messages: bool = False
    name: Name | None = None
    override_name: Name | None = None
    model: Handle | None = None
    override_model_handle: Handle | None = None
    embedding: Handle | None = None
    override_embedding_handle: Handle | None = None
    secrets: Str | None = None
    env_vars_json: Str | None = None
    project_id: Str | None = None

    def overrides(self, embedding: str | None) -> Overrides:
        """What is to be different; `embedding` is what a header asks for.

        Raises:
            BadInputError: the secrets are no JSON object of texts.
        """
        return Overrides(
            name=self.name or self.override_name,
            model=self.model or self.override_model_handle,
            embedding=self.embedding or self.override_embedding_handle or embedding,
            copy_suffix=self.append_copy_suffix,
            strip_messages=self.strip_messages,
            replace_tools=self.override_existing_tools,
            secrets=_secrets(self.secrets or self.env_vars_json),
        )


def _secrets(text: str | None) -> dict[str, str]:
    if not text:
        return {}
    try:
        return _SECRETS.validate_json(text, strict=True)
    except ValidationError:
        raise BadInputError("secrets: give a JSON object of texts", field="secrets") from None


ImportBody = Annotated[ImportForm, Form(media_type="multipart/form-data")]


class ImportAnswer(BaseModel):
    """The new agents, and what of the file was left out."""

    agent_ids: list[str]
    notes: list[str]
