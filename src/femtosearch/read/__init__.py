"""Files -> documents: text, Markdown, code, tables, mail, PDF and more, folders of them, standard input."""

from femtosearch.read.documents import Reading, read
from femtosearch.read.entries import Options, Skipped
from femtosearch.read.refresh import Refreshed, forget, refresh
from femtosearch.read.walk import STDIN_KINDS, walk

__all__ = ["STDIN_KINDS", "Options", "Reading", "Refreshed", "Skipped", "forget", "read", "refresh", "walk"]
