"""Make model folders robust against the texts that people write, as the built-in ones are.

    python -m femtosearch.model.reading FOLDER...

changes each folder in place: its tokenizer begins with NFKC, so that typeset forms become letters; queries
and documents have no rows of unknown pieces and of punctuation; and a long query is cut into up to 32 pieces.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from femtosearch.disk import write_whole
from femtosearch.fde import restore_fde, store_fde
from femtosearch.model.checkpoint import CONVENTION_KEYS, OURS, read_checkpoint
from femtosearch.model.checkpoint.modules import SETTINGS
from femtosearch.model.checkpoint.tokenizer import read_tokenizer
from femtosearch.model.fingerprint import fingerprint_of
from femtosearch.model.model import FDE, FDE_LIMIT
from femtosearch.tensors import read_limited
from femtosearch.types import Conventions

OUR_KEY = "query_skiplist"
PIECES = 32  # of a long query, each of which costs what a query does
NFKC = {"type": "NFKC"}
CARD = "README.md"


def prepare(folder: Path) -> bool:
    """Change a model folder in place. Returns whether anything changed.

    The fingerprint of the model in its FDE and its card is updated: the rows of known words stay the same.
    Raises CheckpointError, FdeError.
    """
    before = fingerprint_of(read_checkpoint(folder))
    tokenizer = read_checkpoint(folder).tokenizer
    file = read_tokenizer(tokenizer)
    _write(tokenizer, with_nfkc(json.loads(file.text)), separators=(",", ":"))
    settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    _write(folder / SETTINGS, with_skiplists(settings, unheard(file.model["vocab"])), indent=2)
    checkpoint = read_checkpoint(folder)
    after = fingerprint_of(checkpoint)
    if after != before:
        _restamp(folder, before, after, len(checkpoint.modules[-1].weight))
    return after != before


def with_nfkc(tokenizer: dict[str, Any]) -> dict[str, Any]:
    """The settings of a tokenizer.json with NFKC as the first step."""
    steps = [step for step in (tokenizer.get("normalizer"),) if step]
    if steps and steps[0]["type"] == "Sequence":
        steps = steps[0]["normalizers"]
    if steps[:1] == [NFKC]:
        return tokenizer
    return tokenizer | {"normalizer": {"type": "Sequence", "normalizers": [NFKC, *steps]}}


def unheard(vocabulary: Iterable[str]) -> tuple[str, ...]:
    """The tokens of a vocabulary whose rows say nothing: of unknown pieces, and single marks of punctuation.

    >>> unheard(["[UNK]", "the", "\u2014", "##,"])[-2:]
    ('\u2014', '[UNK]')
    """
    marks = [token for token in vocabulary if len(token) == 1 and unicodedata.category(token)[0] == "P"]
    return tuple(dict.fromkeys([*Conventions().skiplist, *sorted(marks), "[UNK]"]))


def with_skiplists(settings: dict[str, Any], words: Iterable[str]) -> dict[str, Any]:
    """The settings of a config_sentence_transformers.json with these tokens on the skiplists of documents and
    queries, and with long queries cut into pieces.
    """
    key = next(key for key, (name, _) in CONVENTION_KEYS.items() if name == "skiplist")
    ours, words = settings.get(OURS) or {}, tuple(words)
    both = {name: [*(lists.get(name) or ()), *words] for lists, name in ((settings, key), (ours, OUR_KEY))}
    skiplists = {name: list(dict.fromkeys(skipped)) for name, skipped in both.items()}
    return settings | {
        key: skiplists[key],
        OURS: ours | {OUR_KEY: skiplists[OUR_KEY], "query_pieces": PIECES},
    }


def _restamp(folder: Path, before: str, after: str, dims: int) -> None:
    if (path := folder / FDE).is_file():
        fde = restore_fde(read_limited(path, FDE_LIMIT), str(path))
        if fde.model == before:
            stamped: Any = replace(fde, model=after)  # type: ignore[type-var]
            write_whole(path, store_fde(stamped, dims))
    if (card := folder / CARD).is_file():
        write_whole(card, card.read_bytes().replace(before.encode(), after.encode()))


def _write(path: Path, content: dict[str, Any], **form: Any) -> None:
    end = "\n" if "indent" in form else ""
    write_whole(path, (json.dumps(content, ensure_ascii=False, **form) + end).encode())


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}: {'changed' if prepare(Path(name)) else 'as it was'}")
