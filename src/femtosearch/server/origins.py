"""Cross-origin requests: which pages of other sites may call the server."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from starlette.middleware.cors import CORSMiddleware

from femtosearch.errors import FemtosearchError


def allow_origins(app: Any, origins: Collection[str]) -> None:
    """Let the pages of other sites call an application, if any are named."""
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=sorted(origins),
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["*"],  # clients of other services send some of their own, such as X-Stainless-OS
            expose_headers=["x-request-id", "retry-after"],
        )


def origin_of(text: str) -> str:
    """An origin as browsers send it. Raises FemtosearchError if no browser would send it."""
    chosen = text.strip().lower().rstrip("/")
    try:
        address = urlsplit(chosen)
        good = address.scheme in ("http", "https") and bool(address.hostname) and (address.port or 1) > 0
    except ValueError:
        good = False
    if not good or chosen != f"{address.scheme}://{address.netloc}" or "@" in chosen or "*" in chosen:
        raise FemtosearchError(
            f"--allow-origin: expected the origin of a site, such as https://example.com, found {text!r}"
        )
    return chosen
