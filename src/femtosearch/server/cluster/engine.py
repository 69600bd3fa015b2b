"""Engines, which run the tasks of a build and hold shards: the nodes of a Ray cluster, or this
process alone.
"""

from __future__ import annotations

import os
import socket
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import urlsplit

from femtosearch.errors import FemtosearchError, ServerError, missing_extra
from femtosearch.server.cluster.holder import Holder, Place

HERE = "here"  # the address of this process
MEMORY = "memory://"  # URLs of what is in its memory alone
ATTEMPTS = 20  # of a task whose worker is lost
_REACHED = 5.0  # seconds for an address to be reached
_THREADS = 4  # calls that a copy of a shard answers at a time


class Replica(Protocol):
    """A copy of a shard, somewhere."""

    def ask(self, method: str, *arguments: Any) -> Future[Any]:
        """Call a method of the copy's `Holder`; returns the future of its answer."""

    def close(self) -> None:
        """Release the copy."""


class Engine(Protocol):
    """Runs tasks and holds shards."""

    def run(self, task: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        """Run a task for each call; yields the number of the call and its result, as they end. A task whose
        worker is lost is run again. Raises what the task raises.
        """

    def hold(self, place: Place, copy: int) -> Replica:
        """Hold a copy of a shard. The copies of one shard are on different nodes if there are enough."""

    def close(self) -> None:
        """Release all copies, and the cluster if it was started here."""


def engine_at(address: str | None, *, place: str = "") -> Engine:
    """The engine at an address of a Ray cluster; None starts one on this machine, "here" is this process.

    place:  of an index; one in the memory of this process needs the engine "here".
    Raises MissingExtraError, ServerError.
    """
    if address is not None and not isinstance(address, str):
        raise ServerError(f"address: expected a string, found {type(address).__name__}")
    return Here() if address == HERE or place.startswith(MEMORY) else OnRay(address)


class Here:
    """This process: no cluster, but all that one does."""

    def run(self, task: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        return ((number, task(*call)) for number, call in enumerate(calls))

    def hold(self, place: Place, copy: int) -> Replica:
        return _LocalReplica(place)

    def close(self) -> None:
        pass


class _LocalReplica:
    def __init__(self, place: Place) -> None:
        self._holder = Holder(place)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="femtosearch-shard")

    def ask(self, method: str, *arguments: Any) -> Future[Any]:
        return self._threads.submit(getattr(self._holder, method), *arguments)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._holder.close()


class OnRay:
    """The nodes of a Ray cluster.

    address:  HOST:PORT, "auto", or None for a cluster of this machine's cores, that ends with this process.
    """

    def __init__(self, address: str | None) -> None:
        self._ray = imported()
        self._ours = not self._ray.is_initialized()
        if self._ours:
            _connect(self._ray, address)

    def run(self, task: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        ray = self._ray
        remote = ray.remote(task).options(num_cpus=1, max_retries=ATTEMPTS, retry_exceptions=False)
        numbers = {remote.remote(*call): number for number, call in enumerate(calls)}
        lost: Counter[int] = Counter()
        try:
            while numbers:
                (ended, *_), _ = ray.wait(list(numbers), num_returns=1)
                number = numbers.pop(ended)
                try:
                    answer = self._answer(ended)
                except LostError:  # Ray does not always run a task again whose node was lost
                    lost[number] += 1
                    if lost[number] == ATTEMPTS:
                        raise
                    numbers[remote.remote(*calls[number])] = number
                    continue
                yield number, answer
        finally:
            for reference in numbers:
                ray.cancel(reference, force=True)

    def hold(self, place: Place, copy: int) -> Replica:
        return _RayReplica(self._ray, place, copy)

    def close(self) -> None:
        if self._ours:
            self._ray.shutdown()

    def _answer(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise _cause(error) from None
        except self._ray.exceptions.RayError as error:
            message = str(error).partition("\n")[0][:300]
            raise LostError(f"a task was lost with its worker, again and again: {message}") from None


class _RayReplica:
    """A copy of a shard that an actor holds, on another node than the shard's other copies if there is one.

    Ray starts it again, on any node, where its process or its node has died.
    """

    def __init__(self, ray: Any, place: Place, copy: int) -> None:
        self._ray, self._place, self._copy = ray, place, copy
        self._actor = self._started()

    def ask(self, method: str, *arguments: Any) -> Future[Any]:
        answer: Future[Any] = Future()
        try:
            remote_answer = self._actor.ask.remote(method, *arguments).future()
        except self._ray.exceptions.RayError as error:  # the cluster itself has gone
            answer.set_exception(LostError(str(error).partition("\n")[0][:300]))
        else:
            remote_answer.add_done_callback(lambda done: self._settle(done, answer))
        return answer

    def close(self) -> None:
        self._ray.kill(self._actor)

    def _settle(self, done: Future[Any], answer: Future[Any]) -> None:
        """Pass an answer on; an error of the shard is passed on as the shard raised it."""
        error = done.exception()
        if error is None:
            answer.set_result(done.result())
        elif isinstance(error, self._ray.exceptions.RayTaskError):
            answer.set_exception(_cause(error))
        else:
            if isinstance(error, self._ray.exceptions.ActorDiedError):
                with suppress(self._ray.exceptions.RayError):
                    self._actor = self._started()
            answer.set_exception(LostError(str(error).partition("\n")[0][:300]))

    def _started(self) -> Any:
        ray = self._ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        nodes = sorted(node["NodeID"] for node in ray.nodes() if node["Alive"])
        node = nodes[(self._place.number + self._copy) % len(nodes)]
        return (
            ray.remote(Holder)
            .options(
                num_cpus=0,
                max_restarts=-1,
                max_concurrency=_THREADS,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=True),
            )
            .remote(self._place)
        )


class LostError(ServerError):
    """A task or a copy of a shard did not answer: its process or its node has died."""


def imported() -> Any:
    """Import Ray. Raises MissingExtraError."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise missing_extra("a cluster", "ray", "cluster") from None
    return ray


def _connect(ray: Any, address: str | None) -> None:
    """Connect to a Ray cluster, or start one. Raises ServerError."""
    where = {"address": "local", "include_dashboard": False} if address is None else {"address": address}
    if address is not None and address != "auto":
        _check_listens(address)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ray.init(**where, log_to_driver=False, logging_level="error")
        except (ConnectionError, ValueError, RuntimeError, OSError, ray.exceptions.RayError) as error:
            raise _wrong_address(address, " ".join(str(error).split())[:300]) from None


def _check_listens(address: str) -> None:
    """Raise ServerError at once for an address that Ray would try again and again."""
    try:
        parsed = urlsplit(address if "://" in address else f"ray://{address}")
        if parsed.scheme != "ray" or not parsed.hostname or not parsed.port:
            raise _wrong_address(address, "it has no host or no port")
        socket.create_connection((parsed.hostname, parsed.port), _REACHED).close()
    except (OSError, ValueError) as error:
        raise _wrong_address(address, str(getattr(error, "strerror", None) or error)) from None


def _wrong_address(address: str | None, reason: str) -> ServerError:
    return ServerError(
        f"address: expected a running Ray cluster, HOST:PORT or auto, found {str(address)[:200]!r}: {reason}"
    )


def _cause(error: Any) -> BaseException:
    """The error that a task raised, without the worker's traceback; an unexpected error keeps it."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, FemtosearchError) else error
