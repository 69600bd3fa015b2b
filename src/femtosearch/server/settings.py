"""The settings of a server: where it listens, its limits, and who may read and write."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

from femtosearch.errors import FemtosearchError
from femtosearch.system import cores

LOOPBACK_NAMES = frozenset({"localhost"})
SHORTEST_KEY = 8  # characters


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server listens, whom it serves, and its limits.

    host, port:   where it listens; port 0 is any that is free.
    writable:     whether documents may be added and deleted.
    read_keys, write_keys:  digests of keys, see `key_digest`; without any, everybody may read (and write).
    names:        host names, beside localhost and IP addresses, by which clients may call it.
    origins:      origins of other sites, such as https://example.com, whose pages may call it.
    max_body:     bytes of a request's body; max_bodies: of all bodies that are held at one moment.
    timeout:      seconds for a body to come, and for a request to be answered; ten times as many for one that
                  changes an index, since to encode texts takes its time.
    head_timeout: seconds for a request's head to come, and for a stalled client to read on.
    threads:      requests that are computed at a time; queue: how many more may wait.
    connections:  how many may be open.
    grace:        seconds that requests may go on for after a signal to stop.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    writable: bool = False
    read_keys: frozenset[bytes] = frozenset()
    write_keys: frozenset[bytes] = frozenset()
    names: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    max_body: int = 16 << 20
    max_bodies: int = 256 << 20
    timeout: float = 30.0
    head_timeout: float = 10.0
    threads: int = field(default_factory=lambda: max(2, cores()))
    queue: int = 64
    connections: int = 512
    grace: float = 10.0

    def check(self) -> None:
        """Raise FemtosearchError for settings that would let anybody write."""
        if self.writable and self.read_keys and not self.write_keys:
            raise FemtosearchError(
                "--writable beside --api-key needs --write-key: say with which key documents may be changed"
            )
        if self.write_keys and not self.read_keys and not self.writable:
            raise FemtosearchError(
                "--write-key without --writable opens nothing: add --writable, or leave it out"
            )
        if self.writable and not self.write_keys and not is_loopback(self.host):
            raise FemtosearchError(
                f"--writable on {self.host}, which other machines reach, needs --write-key: without one "
                "anybody could change the index"
            )

    @property
    def reads_freely(self) -> bool:
        """Whether reading takes no key."""
        return not self.read_keys

    def may(self, access: str, key: str) -> bool:
        """Whether a key permits an access, "read" or "write". All keys are compared, each in
        constant time.
        """
        if access == "write":
            return not self.write_keys or _is_among(key, self.write_keys)
        return self.reads_freely or self.knows_key(key)

    def knows_key(self, key: str) -> bool:
        """Whether a key is one of the server's. All keys are compared, each in constant time."""
        return _is_among(key, self.read_keys | self.write_keys)

    def knows_host(self, header: str) -> bool:
        """Whether a Host header is this server's own name.

        An IP address is always fine: a page of another site that has its name point here (DNS rebinding) is
        told apart by that name, which the browser sends.
        """
        name = host_name(header)
        return bool(name) and (name in LOOPBACK_NAMES or name in self.names or _is_address(name))

    def knows_origin(self, origin: str, host: str) -> bool:
        """Whether a page of that origin may call: this server's own pages, and those of `origins`."""
        _, separator, place = origin.partition("://")
        return bool(separator) and (place.lower() == host.lower() or origin.lower() in self.origins)


def key_digest(key: str) -> bytes:
    """The digest of a key. Digests have equal lengths, so comparing them does not reveal the key's length."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def key_digests(keys: Iterable[str]) -> frozenset[bytes]:
    """The digests of keys. Raises FemtosearchError for a key that is too short to keep anybody out."""
    chosen = list(keys)
    for key in chosen:
        if len(key) < SHORTEST_KEY or key.strip() != key or not key.isprintable() or not key.isascii():
            raise FemtosearchError(
                f"a key: expected {SHORTEST_KEY} or more printable ASCII characters, without blanks round "
                f"them, found one of {len(key)}"
            )
    return frozenset(map(key_digest, chosen))


def host_name(header: str) -> str:
    """The name in a Host header, in small letters, without its port; "" for what is none.

    >>> host_name("[::1]:80"), host_name("LocalHost:8000"), host_name("a b")
    ('::1', 'localhost', '')
    """
    name = header.strip().lower()
    if name.startswith("["):
        address, bracket, port = name[1:].partition("]")
        return address if bracket and (not port or (port[:1] == ":" and port[1:].isdigit())) else ""
    name, colon, port = name.partition(":")
    if colon and not port.isdigit():
        return ""
    return name if all(char.isalnum() or char in ".-_" for char in name) else ""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOOPBACK_NAMES


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_among(key: str, digests: frozenset[bytes]) -> bool:
    digest = key_digest(key)
    return sum(hmac.compare_digest(digest, stored) for stored in sorted(digests)) > 0
