"""Files -> documents: text, Markdown, JSON lines, CSV, folders of them and standard input."""

from femtosearch.read.documents import Reading, Skipped, read
from femtosearch.read.sources import STDIN_KINDS

__all__ = ["STDIN_KINDS", "Reading", "Skipped", "read"]
