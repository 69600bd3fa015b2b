"""Failures on purpose: something happens just before the n-th step that a write takes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from femtosearch.index.segment import SegmentWriter
from femtosearch.index.segments import FolderDirectory
from femtosearch.index.transaction import Transaction

OF_THE_SYSTEM: tuple[tuple[Any, str], ...] = (
    (os, "fsync"),
    (os, "replace"),
    (os, "unlink"),
    (os, "mkdir"),
    (os, "ftruncate"),
    (os, "write"),
)
ALL = (
    *OF_THE_SYSTEM,
    (SegmentWriter, "append"),
    (SegmentWriter, "finish"),
    (FolderDirectory, "create"),
    (Transaction, "put"),
    (Transaction, "remove"),
    (Transaction, "add_segments"),
    (Transaction, "drop_segments"),
    (Transaction, "set_fde"),
    (Transaction, "set_row_bits"),
    (Transaction, "shrink"),
    (Transaction, "commit"),
)


class Steps:
    """Counts the steps of the calls inside `with`, and calls `fail` at the one that is named."""

    def __init__(self, at: int, fail: Callable[[], object], steps: tuple[tuple[Any, str], ...] = ALL) -> None:
        self._steps = steps
        self.at = at
        self.count = 0
        self._fail = fail
        self._real: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Steps:
        for owner, name in self._steps:
            real = getattr(owner, name)
            self._real.append((owner, name, real))
            setattr(owner, name, self._watched(real))
        return self

    def __exit__(self, *_: object) -> None:
        for owner, name, real in self._real:
            setattr(owner, name, real)

    def _watched(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            self._step()
            return real(*args, **kwargs)

        return watched

    def _step(self) -> None:
        self.count += 1
        if self.count == self.at:
            self._fail()
