"""A thread that looks for new builds of a cluster's index."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from femtosearch.errors import FemtosearchError

LOG = logging.getLogger("femtosearch.server")


class Watch:
    """Calls `refresh` every so many seconds until it is closed; it logs what comes of that.

    refresh:  the name of the build that is served since, or None where that is still the same.
    """

    def __init__(self, refresh: Callable[[], str | None], seconds: float) -> None:
        self._refresh, self._seconds = refresh, seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="femtosearch-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; a refresh that has begun is waited for."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                build = self._refresh()
            except FemtosearchError as error:
                LOG.warning("the new build is not served", extra={"fields": {"error": str(error)}})
                continue
            except Exception as error:  # such as one of Ray's: the next look may be better
                LOG.error("the new build is not served", extra={"fields": {"error": repr(error)[:500]}})
                continue
            if build is not None:
                LOG.info("serving another build", extra={"fields": {"build": build}})
