"""`femtosearch export --web`: an index as a static site that searches itself."""

from __future__ import annotations

import base64
import hashlib
import html
import os
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from femtosearch.disk import refusal, whole_folder, write_whole
from femtosearch.errors import QueryError, StoreError
from femtosearch.index.contents import Where
from femtosearch.index.export import Handed
from femtosearch.index.index import Index
from femtosearch.web.bundle import Bundle
from femtosearch.web.contents import Contents, is_link
from femtosearch.web.model import model_header, model_of

DATA, ENGINE = "search.bin", "search.js"
CORE = "core.wasm"  # made by scripts/web
_PAGE, _STYLE, _SCRIPTS = "index.html", "page.css", (ENGINE, "page.js")
_ENGINE_PARTS = ("bundle.js", "model.js", "search.js")  # of which search.js is made
_POLICY = (
    "default-src 'none'; script-src {scripts} 'wasm-unsafe-eval'; style-src {style}; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
)


@dataclass(frozen=True, slots=True)
class Site:
    """What was written: documents, their passages, and the bytes of all files together."""

    documents: int
    passages: int
    bytes: int


def write_site(
    index: Index,
    target: str | os.PathLike[str],
    *,
    title: str = "Search",
    link: str | None = None,
    where: Where | None = None,
    whole_rows: bool = False,
) -> Site:
    """Write a static site that searches the documents of an index, as of one moment: all of it, or nothing.

    target:  a new or empty folder; or a file NAME.html, which has all in it and needs no server.
    title:   of the page.
    link:    where hits lead: a pattern with {id}, or {stem}, the id without its last ending; None: to the
             `url` of their metadata.
    where:   only documents that pass.
    whole_rows:  all rows as the index has them, 36 bytes each with the default model; else about ten bytes,
             and the page makes those of what it finds exact by its model.
    Raises StoreError for a folder that is not empty or cannot be written, and for more than 50,000 passages;
    CheckpointError for a model that a page cannot run; QueryError.
    """
    if link is not None:
        _check_link(link)
    place = Path(target)
    is_file = place.suffix.lower() in (".html", ".htm")
    if not is_file:
        _check_empty(place)
    model, sites = model_of(index), list[Site]()

    def keep(handed: Handed) -> int:
        bundle, contents = Bundle(), Contents.of(handed.records, handed.row_bits, link)
        header = {
            "core": bundle.put(_resource(CORE)),
            "model": model_header(model, bundle),
            "index": contents.header(model, bundle, whole_rows=whole_rows),
        }
        content = bundle.content(header)
        files = {place.name: one_file(title, content)} if is_file else folder_files(title, content)
        _write(place, files, is_file=is_file)
        sizes = sum(map(len, files.values()))
        sites.append(Site(len(contents.documents), len(contents.lengths), sizes))
        return len(contents.documents)

    index.hand_over(keep, where=where)
    return sites[-1]


def folder_files(title: str, bundle: bytes) -> dict[str, bytes]:
    """The files of a site by their names."""
    files = {name: _text(name).encode() for name in (*_SCRIPTS, _STYLE)}
    page = _titled(_text(_PAGE), title, _POLICY.format(scripts="'self'", style="'self'"))
    return {_PAGE: page.encode(), **files, DATA: bundle}


def one_file(title: str, bundle: bytes) -> bytes:
    """The page with all that it needs in it."""
    style, scripts = _text(_STYLE), [_text(name) for name in _SCRIPTS]
    page = _text(_PAGE).replace(f'<link rel="stylesheet" href="{_STYLE}">', f"<style>{style}</style>")
    data = f'<script type="text/plain" id="bundle">{base64.b64encode(bundle).decode()}</script>\n'
    for name, script in zip(_SCRIPTS, scripts, strict=True):
        page = page.replace(f'<script src="{name}"></script>', f"{data}<script>{script}</script>")
        data = ""
    policy = _POLICY.format(scripts=" ".join(map(_digest, scripts)), style=_digest(style))
    return _titled(page, title, policy).encode()


def _titled(page: str, title: str, policy: str) -> str:
    return page.replace("{{policy}}", policy).replace("{{title}}", html.escape(title))


def _digest(content: str) -> str:
    """What lets a script or a style in the page count."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _check_link(pattern: str) -> None:
    """Raise QueryError for a pattern that is no link, or has other names in braces than there are."""
    if not is_link(pattern):
        raise QueryError(f"link: expected a place on the web or beside the page, found {pattern[:80]!r}")
    for name in re.findall(r"\{[^{}]*\}", pattern):
        if name not in ("{id}", "{stem}"):
            raise QueryError(f"link: expected {{id}} or {{stem}}, found {name[:80]!r}")


def _check_empty(folder: Path) -> None:
    """Raise StoreError unless the folder is empty, or not there."""
    try:
        if not os.path.lexists(folder):
            return
        if folder.is_symlink() or not folder.is_dir():
            raise StoreError(
                f"{folder}: expected a new or empty folder, found a file or a link: choose another"
            )
        if any(folder.iterdir()):
            raise StoreError(f"{folder}: expected a new or empty folder, found files in it: choose another")
    except OSError as error:
        raise refusal(error, str(folder)) from error


def _write(place: Path, files: dict[str, bytes], *, is_file: bool) -> None:
    try:
        if is_file:
            write_whole(place, files[place.name])
            return
        with whole_folder(place) as draft:
            for name, content in files.items():
                (draft / name).write_bytes(content)
    except OSError as error:
        raise refusal(error, str(place)) from error


def _resource(name: str) -> bytes:
    return resources.files(__package__).joinpath(name).read_bytes()


def _text(name: str) -> str:
    """A file of the page, as it lies in a site."""
    names = _ENGINE_PARTS if name == ENGINE else (name,)
    return "".join(_resource(name).decode() for name in names)
