"""Asks for the definitions of source code, in a process of its own: grammars are native code of many authors,
and a file that breaks one must not end whoever reads it. Needs the extra [code].
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from typing import Any

from femtosearch.frozen import frozen
from femtosearch.read.kinds.headings import Heading

MOST_SECONDS = 10.0  # for one file
MOST_LOST = 10  # processes that end before they answer, after which texts are cut by lines
_FORGIVEN = 100  # texts that parse, after which one process less counts as lost


class Process:
    """A process that parses, started when it is needed and again where it has ended.

    lost:  how many ended over a text, less one for a hundred texts that parsed.
    """

    def __init__(self) -> None:
        self.lost = 0.0
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._owner = 0

    def ask(self, grammar: str, text: str) -> dict[str, Any] | None:
        """The definitions of a text as `code_trees` gives them; None where it cannot be parsed."""
        question = json.dumps({"grammar": grammar, "text": text}) + "\n"
        with self._lock:
            if self.lost >= MOST_LOST:
                return None
            try:
                answer = self._answer(self._started(), question)
            except OSError:  # no process can be started
                answer = ""
            self.lost = max(0.0, self.lost - 1 / _FORGIVEN) if answer else self.lost + 1
        content: dict[str, Any] | None = json.loads(answer) if answer else None
        return content

    def close(self) -> None:
        """End the process."""
        child, self._child = self._child, None
        if child is None or self._owner != os.getpid():
            return
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        child.kill()
        child.wait()

    def _started(self) -> subprocess.Popen[str]:
        """The process: a new one after a fork, or where the last one ended, as it does when it is idle."""
        child = self._child
        if child is not None and self._owner == os.getpid() and child.poll() is None:
            return child
        self.close()
        command = [sys.executable, "-I", "-m", "femtosearch.read.kinds.code_trees"]
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        )
        self._owner = os.getpid()
        return self._child

    def _answer(self, child: subprocess.Popen[str], question: str) -> str:
        """One line; empty where the process ended, also because this took too long."""
        assert child.stdin is not None and child.stdout is not None
        patience = threading.Timer(MOST_SECONDS, child.kill)
        patience.start()
        try:
            child.stdin.write(question)
            child.stdin.flush()
            answer = child.stdout.readline()
        except OSError:
            answer = ""
        finally:
            patience.cancel()
        if not answer.endswith("\n"):
            self.close()
            return ""
        return answer


_PROCESS = Process()
atexit.register(_PROCESS.close)


@frozen
class Parsed:
    """The definitions of a text.

    headings:  the functions and classes, rising.
    lines:     where the line of each of them begins, after the comments before it.
    errors:    where the text did not parse: pairs of a beginning and an end.
    """

    headings: list[Heading]
    lines: set[int]
    errors: list[tuple[int, int]]


def parsed(grammar: str, text: str) -> Parsed | None:
    """The definitions of a text; None where it cannot be parsed."""
    answer = _PROCESS.ask(grammar, text)
    if answer is None:
        return None
    rows = sorted(answer["definitions"], key=lambda row: row[0])
    headings = [Heading(begin, level, name) for begin, level, name, _ in rows]
    return Parsed(headings, {row[3] for row in rows}, [(begin, end) for begin, end in answer["errors"]])
