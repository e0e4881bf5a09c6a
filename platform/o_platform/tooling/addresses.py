"""Where a fetch may go: public addresses only, whatever a name resolves to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from typing import Final, Protocol

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_FORBIDDEN_NETWORKS: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "100.64.0.0/10",  # shared by carriers and cloud providers
        "192.88.99.0/24",  # 6to4 relays
        "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32",  # carry an IPv4 address
    )
)  # fmt: skip


class ForbiddenAddressError(Exception):
    """A name that leads to a place which tools must not reach."""


class Resolver(Protocol):
    """Finds the addresses of a host name."""

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Every address, as text.

        Raises:
            OSError: there is none.
        """


async def system_addresses(host: str, port: int) -> Sequence[str]:
    """What the system's resolver says.

    Raises:
        OSError: the name is not known.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def public_address(addresses: Sequence[str], host: str) -> str:
    """The first of the addresses, if all of them are public.

    A name that has a public and a private address is refused: it would be a matter of chance.

    Raises:
        ForbiddenAddressError: there is none, or one is private, local, reserved or of many.
    """
    for text in addresses:
        if not is_public(ipaddress.ip_address(text.partition("%")[0])):
            raise ForbiddenAddressError(
                f"{host} leads to {text}, which is not a public address; tools reach only those"
            )
    if not addresses:
        raise ForbiddenAddressError(f"{host} has no address")
    return addresses[0]


def is_public(address: Address) -> bool:
    """Whether anybody on the internet could be meant by this address, and nobody else."""
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        return is_public(mapped)
    if any(address in network for network in _FORBIDDEN_NETWORKS if _fits(address, network)):
        return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified
    )


def _fits(address: Address, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    return address.version == network.version
