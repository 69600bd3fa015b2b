"""Files with something wrong in them: bytes and JSON values that are changed by chance."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from typing import Any

EXTREMES = [0, 1, 255, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**64 - 1]
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 5, 2**31, 2**63, 2**70, -(2**63), 0.5, 1e308, -1e-308, "", "x", "[UNK]",
    "../..", "/etc/passwd", "a\0b", "\ud800", "A" * 5000, "AAAA", [], [1], [[]], [None], ["x"], {}, {"x": 1},
    {"type": "x"},
]  # fmt: skip

Bytes = Callable[[bytearray, random.Random], None]


def _flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 1, 1, 8])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _zero(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    size = min(rng.choice([1, 16, 512, 4096]), len(data) - at)
    data[at : at + size] = bytes(size)


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def _remove(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.choice([1, 8, 64])]


def _insert(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.randbytes(rng.choice([1, 8, 64, 5000]))


def _number(data: bytearray, rng: random.Random) -> None:
    """An extreme integer or float in the place of an aligned one, most often near the beginning."""
    size = rng.choice([4, 8])
    at = rng.randrange(max(1, min(len(data), rng.choice([64, 512, 1 << 30])) // size)) * size
    value = rng.choice([*EXTREMES, struct.unpack("<Q", struct.pack("<d", float("nan")))[0]])
    data[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, "little")


def _swap(data: bytearray, rng: random.Random) -> None:
    size = rng.choice([4, 64, 512])
    first, second = (rng.randrange(max(1, len(data) - size)) for _ in range(2))
    data[first : first + size], data[second : second + size] = (
        data[second : second + size],
        data[first : first + size],
    )


_BYTES: tuple[Bytes, ...] = (_flip, _flip, _zero, _cut, _remove, _insert, _number, _number, _swap)


def changed(data: bytes, rng: random.Random) -> bytes:
    """Bytes with one thing changed, now and then two."""
    copy = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2])):
        if copy:
            rng.choice(_BYTES)(copy, rng)
    return bytes(copy)


def changed_json(text: bytes, rng: random.Random) -> bytes:
    """A JSON text with another value somewhere, or a key that is missing, twice there or of no use."""
    value = json.loads(text)
    places = [place for place in _places(value, ()) if place]
    place = rng.choice(places)
    owner = value
    for step in place[:-1]:
        owner = owner[step]
    how = rng.randrange(4)
    if how == 0:
        del owner[place[-1]]
    elif how == 1 and isinstance(owner, dict):
        owner[rng.choice(["type", "model_type", "x", "", "normalizer", "tokens"])] = rng.choice(VALUES)
    else:
        owner[place[-1]] = _near(owner[place[-1]], rng)
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _near(value: Any, rng: random.Random) -> Any:
    """Another value: most often any, now and then one of the same type."""
    if type(value) is int and rng.random() < 0.5:
        return value + rng.choice([-1, 1, 2, -value, value, 1000, 2**31])
    if isinstance(value, str) and rng.random() < 0.3:
        return value[: len(value) // 2] + rng.choice(["", "x", "\0", " "])
    return rng.choice(VALUES)


def _places(value: Any, place: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """The paths to every value inside, but only to some of a long list or object."""
    places = [place]
    steps = (
        list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    )
    for step in steps[:24] + steps[-8:]:
        places += _places(value[step], (*place, step))
    return places
