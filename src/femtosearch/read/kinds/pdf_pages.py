"""The pages of the PDF on standard input, as JSON: what `pdf` runs in a process of its own."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from typing import Any

from femtosearch.system import bound

MOST_SECONDS = 60  # of computing
MOST_MEMORY = 2 << 30  # bytes
MOST_PAGES = 20_000
MOST_CHARACTERS = 50_000_000


def main() -> None:
    """Print the pages, or what is wrong. On Windows the parent's patience is the only bound."""
    bound("RLIMIT_CPU", MOST_SECONDS)
    bound("RLIMIT_AS", MOST_MEMORY)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    try:
        answer = _pages()
    except MemoryError:
        answer = {"fault": f"a PDF that takes more than {MOST_MEMORY >> 20:,} MB to read"}
    except Exception as error:  # the reader raises many kinds of them for a file that is broken
        answer = {"fault": f"expected a PDF, found a broken one ({type(error).__name__}: {error})"[:500]}
    sys.stdout.write(json.dumps(answer))


def _pages() -> dict[str, Any]:
    from pypdf import PdfReader

    reader = PdfReader(sys.stdin.buffer)
    if reader.is_encrypted and not reader.decrypt(""):
        return {"fault": "a PDF that is encrypted: save it without a password"}
    if len(reader.pages) > MOST_PAGES:
        return {"fault": f"a PDF of {len(reader.pages):,} pages, of {MOST_PAGES:,} at most"}
    pages: list[str] = []
    total = 0
    for page in reader.pages:
        text = page.extract_text().encode("utf-8", "replace").decode()
        total += len(text)
        if total > MOST_CHARACTERS:
            return {"fault": f"a PDF of more than {MOST_CHARACTERS:,} characters"}
        pages.append(text)
    return {"pages": pages, "metadata": _metadata(reader)}


def _metadata(reader: Any) -> dict[str, str]:
    try:
        stated = {"title": reader.metadata.title, "author": reader.metadata.author}
    except Exception:  # of a file whose metadata is broken
        return {}
    return {
        name: " ".join(value.encode("utf-8", "replace").decode().split())[:1000]
        for name, value in stated.items()
        if isinstance(value, str) and value.strip()
    }


if __name__ == "__main__":
    main()
