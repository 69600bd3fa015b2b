"""Targets whose input is a file in a folder: a catalogue, a model's files, a static site's contents."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from femtosearch import Index, Model
from femtosearch.errors import FemtosearchError
from femtosearch.web.bundle import Bundle
from femtosearch.web.contents import Contents, is_link
from femtosearch.web.site import folder_files, one_file

from ..fakes import FakeModel

GOLDEN = Path(__file__).parents[1] / "golden" / "models" / "pylate"
FILES = (  # of a model; the last two by their headers alone
    "config.json", "modules.json", "config_sentence_transformers.json", "sentence_bert_config.json",
    "tokenizer.json", "tokenizer_config.json", "1_Dense/config.json", "model.safetensors",
    "1_Dense/model.safetensors",
)  # fmt: skip


def catalogues(content: bytes) -> None:
    """Changes of a catalogue: again and again a place (3 bytes), a length (1 byte) and so many bytes."""
    template, catalogue = _index_files()
    changed = bytearray(catalogue)
    at = 0
    while at + 4 <= len(content):
        place, size = int.from_bytes(content[at : at + 3], "big") % len(changed), content[at + 3]
        data = content[at + 4 : at + 4 + size]
        changed[place : place + len(data)] = data
        at += 4 + size
    folder = _emptied("catalogue")
    shutil.copytree(template, folder)
    (folder / "catalog.db").write_bytes(changed[: len(catalogue)])
    with Index(folder, model=FakeModel(), timeout=0.1) as index:
        _tried(index.verify)
        for ask in (
            lambda: index.search("word moon", k=5, where={"year": {"$gt": 2000}}),
            lambda: list(index),
        ):
            _tried(ask)
        _tried(lambda: index.add(["one more"]))
        _tried(index.compact)


def models(content: bytes) -> None:
    """A model folder with another file: a byte says which, the others are what is in it."""
    if not content:
        return
    name, data = FILES[content[0] % len(FILES)], content[1:]
    folder = _model_folder()
    before = (GOLDEN / name).read_bytes()
    if name.endswith(".safetensors"):
        size = int.from_bytes(before[:8], "little")
        data = len(data).to_bytes(8, "little") + data + before[8 + size :]
    try:
        (folder / name).write_bytes(data)
        model = Model.load(folder)
        rows = model.encode_passages(["the cat sat on a mat", ""]).rows
        assert rows.rows.shape[1] == model.dims and rows.starts[-1] == len(rows.rows)
        model.encode_queries(["a cat"])
    finally:
        (folder / name).write_bytes(before)


def sites(content: bytes) -> None:
    """Documents, a title and a link as JSON, exported as a page: nothing becomes markup or a script."""
    try:
        given: Any = json.loads(content.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return
    if not isinstance(given, dict) or not isinstance(given.get("documents"), list):
        return
    title, link = str(given.get("title")), given.get("link")
    pattern = link if isinstance(link, str) and is_link(link) else None
    with Index(model=FakeModel()) as index:
        index.add(given["documents"])
        kept: list[Contents] = []
        index.hand_over(
            lambda handed: kept.append(Contents.of(handed.records, handed.row_bits, pattern)) or 0
        )
        count = len(index)
    bundle = Bundle()
    number = bundle.put_json(kept[0].documents)
    documents = _document_list(bundle.content({"documents": number}), number)
    assert documents == kept[0].documents and len(documents) == count
    assert all(url is None or is_link(url) for _, _, url, _ in documents)
    for pages in (lambda title: one_file(title, b""), lambda title: folder_files(title, b"")["index.html"]):
        assert _tags(pages(title)) == _tags(pages("x"))


def _document_list(content: bytes, number: int) -> list[list[str | None]]:
    """The documents of a bundle, read as a page reads it."""
    data = gzip.decompress(content)
    size = int.from_bytes(data[:8], "little")
    begin, length = json.loads(data[8 : 8 + size])["parts"][number]
    documents: list[list[str | None]] = json.loads(data[8 + size + begin :][:length].decode())
    return documents


def _tags(page: bytes) -> list[str]:
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(f"{tag} {attrs}")  # type: ignore[method-assign]
    parser.feed(page.decode())
    return tags


def _tried(call: Callable[[], object]) -> None:
    """Call; an error of ours is right."""
    with suppress(FemtosearchError):
        call()


@cache
def _index_files() -> tuple[Path, bytes]:
    """The folder of an index without its catalogue, and the catalogue."""
    folder = Path(mkdtemp()) / "index"
    with Index(folder, model=FakeModel()) as index:
        index.add(
            [{"id": f"{n}", "text": f"word{n} moon", "year": 1990 + n, "tags": ["a"]} for n in range(9)]
        )
        index.add([{"id": "1", "text": "another moon"}])
        index.delete("2")
        index.compact()
        index.add(["a red moon"])
    catalogue = (folder / "catalog.db").read_bytes()
    for path in folder.glob("catalog.db*"):
        path.unlink()
    return folder, catalogue


@cache
def _model_folder() -> Path:
    return Path(shutil.copytree(GOLDEN, Path(mkdtemp()) / "model"))


@cache
def _place() -> Path:
    return Path(mkdtemp())


def _emptied(name: str) -> Path:
    folder = _place() / name
    shutil.rmtree(folder, ignore_errors=True)
    return folder
