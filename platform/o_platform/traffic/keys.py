"""API keys: signed tokens (EdDSA JWT) that Envoy checks without a look-up.

The private key is one file under `<home>/keys`, the public one goes into Envoy's configuration. The
database keeps a token's id, role and hash, never the token. A token has no end of its own; a
revoked one is refused by id, in the routes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, get_args

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.ids import new_id
from o_platform.db.engine import CHANNEL_ROUTES, announce
from o_platform.db.models import ApiKey
from o_platform.errors import BadInputError, NotFoundError, SetupError
from o_platform.traffic.listeners import ISSUER

Role = Literal["client", "operator"]
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_PAYLOAD: Final = "keys"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made: the only time that its token is known."""

    id: str
    token: str


class Signer:
    """The platform's signing key."""

    def __init__(self, home: Path) -> None:
        """Load `<home>/keys/signing.pem`, or make it (mode 0600).

        Raises:
            SetupError: the file is there and is not an Ed25519 private key.
        """
        self._key = _load_or_create(home / "keys" / "signing.pem")

    @property
    def jwks(self) -> str:
        """The public key as a JSON Web Key Set."""
        public = OKPAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        key = {**public, "alg": "EdDSA", "use": "sig", "kid": self._key_id}
        return json.dumps({"keys": [key]}, sort_keys=True)

    def sign(self, key_id: str, name: str, role: Role) -> str:
        """A token with this id, for this client, in this role."""
        claims = {
            "iss": ISSUER,
            "sub": name,
            "role": role,
            "jti": key_id,
            "iat": int(time.time()),
        }
        return jwt.encode(claims, self._key, algorithm="EdDSA", headers={"kid": self._key_id})

    @property
    def _key_id(self) -> str:
        raw = self._key.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )
        return hashlib.sha256(raw).hexdigest()[:12]


async def create_key(session: AsyncSession, signer: Signer, name: str, role: Role) -> NewKey:
    """Make a key; its token is in force at once.

    Args:
        session: the row is written in its transaction.
        signer: signs the token.
        name: who will use it; becomes the header `x-o-client`.
        role: `client`, or `operator` for `/o/v1` and overrides too.

    Raises:
        BadInputError: the name cannot stand in a header, or the role is unknown.
    """
    if _NAME.fullmatch(name) is None:
        raise BadInputError(
            f"a key's name is 1 … 64 letters, digits or ._@- and not {name!r}", field="name"
        )
    if role not in get_args(Role):
        raise BadInputError(f"a key's role is client or operator, not {role!r}", field="role")
    key_id = new_id("key")
    token = signer.sign(key_id, name, role)
    digest = hashlib.sha256(token.encode()).hexdigest()
    session.add(ApiKey(id=key_id, name=name, role=role, token_sha256=digest))
    await session.flush()
    return NewKey(key_id, token)


async def list_keys(session: AsyncSession) -> Sequence[ApiKey]:
    """Every key ever made, the newest first."""
    return (await session.scalars(select(ApiKey).order_by(ApiKey.created_at.desc()))).all()


async def revoke_key(session: AsyncSession, key_id: str) -> ApiKey:
    """Refuse a key from the next rendering on, which this announces. Twice is as good as once.

    Raises:
        NotFoundError: there is no such key.
    """
    key = await session.get(ApiKey, key_id, with_for_update=True)
    if key is None:
        raise NotFoundError(f"there is no key {key_id!r}; see `o keys list`", key=key_id)
    if key.revoked_at is None:
        key.revoked_at = datetime.now(UTC)
        await session.flush()
        await announce(session, CHANNEL_ROUTES, _PAYLOAD)
    return key


def _load_or_create(file: Path) -> Ed25519PrivateKey:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        _write_new(file)
    except FileExistsError:
        pass
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise SetupError(f"{file} is not a private key ({error}); restore it") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SetupError(f"{file} is not an Ed25519 key; restore it, or remove it to make another")
    return key


def _write_new(file: Path) -> None:
    """Make the file with a fresh key in it, whole or not at all.

    Raises:
        FileExistsError: it is there already.
    """
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(pem)
            stream.flush()
            os.fsync(descriptor)
        os.link(draft, file)
    finally:
        draft.unlink()
