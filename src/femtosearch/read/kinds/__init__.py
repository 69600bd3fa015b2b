"""Which kind of file is read by which module: one function each, from a file's content to its documents."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from femtosearch.read.entries import Entry, Fault

LANGUAGES = {  # of source code
    ".py": "python", ".pyi": "python", ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript",
    ".jsx": "javascript", ".ts": "typescript", ".tsx": "typescript", ".java": "java", ".c": "c",
    ".h": "c", ".cc": "c++", ".cpp": "c++", ".cxx": "c++", ".hpp": "c++", ".hh": "c++", ".cs": "c#",
    ".go": "go", ".rs": "rust", ".rb": "ruby", ".php": "php", ".swift": "swift", ".kt": "kotlin",
    ".kts": "kotlin", ".scala": "scala", ".sh": "shell", ".bash": "shell", ".zsh": "shell",
    ".ps1": "powershell", ".pl": "perl", ".pm": "perl", ".r": "r", ".lua": "lua", ".jl": "julia",
    ".hs": "haskell", ".ml": "ocaml", ".ex": "elixir", ".exs": "elixir", ".erl": "erlang",
    ".clj": "clojure", ".sql": "sql", ".dart": "dart", ".m": "objective-c", ".zig": "zig",
    ".vb": "visual basic", ".f90": "fortran", ".css": "css", ".scss": "css", ".toml": "toml",
    ".yaml": "yaml", ".yml": "yaml",
}  # fmt: skip
MODULES = {  # of each kind
    "text": "text",
    "lines": "lines",
    "markdown": "markdown",
    "jsonl": "json_lines",
    "json": "json_lines",
    "csv": "table",
    "tsv": "table",
    "parquet": "parquet",
    "html": "html",
    "notebook": "notebook",
    "mail": "mail",
    "mbox": "mail",
    "pdf": "pdf",
    "docx": "office",
    "pptx": "office",
    "odt": "office",
    "epub": "office",
    "code": "code",
    "man": "man",
}
EXTENSIONS = {
    ".txt": "text",
    ".text": "text",
    ".rst": "text",
    ".adoc": "text",
    ".org": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".ipynb": "notebook",
    ".eml": "mail",
    ".mbox": "mbox",
    ".pdf": "pdf",
    ".docx": "docx",
    ".pptx": "pptx",
    ".odt": "odt",
    ".odp": "odt",
    ".epub": "epub",
    **dict.fromkeys(LANGUAGES, "code"),
}
NAMES = {  # of files without an extension, in small letters
    **dict.fromkeys(
        ("readme", "license", "licence", "copying", "copyright", "news", "authors", "todo"), "text"
    ),
    **dict.fromkeys(("changelog", "changes", "install", "contributing", "history", "thanks"), "text"),
}
_SECTION = re.compile(r"\.[1-8](?:ssl|pm|perl|posix|p|x|gcc|const|type|head)?")  # of the manual


def kind_of_file(path: str) -> str | None:
    """The kind of a file by its name, or None where that says nothing."""
    base = os.path.basename(path).lower().removesuffix(".gz")
    extension = os.path.splitext(base)[1]
    if _SECTION.fullmatch(extension):
        return "man"
    return EXTENSIONS.get(extension) or NAMES.get(base.removesuffix(".debian"))


def entries(content: Any) -> Iterator[Entry | Fault]:
    """The documents of a file, and what is wrong in it.

    Raises NotTextError, TooLongError, UnicodeError, OSError, MissingExtraError.
    """
    module = importlib.import_module(f"femtosearch.read.kinds.{MODULES[content.file.kind]}")
    read: Callable[[Any], Iterator[Entry | Fault]] = module.entries
    return read(content)
