"""The page at `/`: one file, and the policy that lets only what is in it run."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

PAGE = Path(__file__).parent / "page.html"


@cache
def page_text() -> str:
    """The page."""
    return PAGE.read_text(encoding="utf-8")


@cache
def page_policy() -> str:
    """The page's Content-Security-Policy: its own script and style by their digests, and this server."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {_digest('script')}",
            f"style-src {_digest('style')}",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ]
    )


def _digest(element: str) -> str:
    (content,) = re.findall(rf"<{element}>(.*?)</{element}>", page_text(), re.S)
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"
