"""What the peers' scripts here share: the texts, and how what a peer computed is stored.

A peer's folder has one NAME.npz for each model, and a `peer.json` with versions and the orders of reranking.
In an .npz, `KIND_rows` [T, D] are the rows of all texts, end to end: float32, or int16 in units of 1/32767.
`KIND_starts` [N+1] says where each text's begin. KIND is `query`, `document`, or `pooled2`
and `pooled3` for documents after token pooling with that factor.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
MODELS = HERE / "models"
_TEXTS = json.loads((HERE / "texts.json").read_text(encoding="utf-8"))
QUERIES: list[str] = _TEXTS["queries"]
DOCUMENTS: list[str] = _TEXTS["documents"]
# A text that is a list is [what, how often]: it is long.
AWKWARD: list[str] = [text if isinstance(text, str) else text[0] * text[1] for text in _TEXTS["awkward"]]
TEXTS = [*AWKWARD, *QUERIES, *DOCUMENTS]

FIXED = 32767
POOLED = ("pylate", "sentence-transformers", "stanford")  # whose pooled rows are among the golden ones

Order = list[tuple[int, float]]  # document's number and score, best first


@dataclass
class Said:
    """What a peer computed with one model: an order for each query, or the error."""

    rows: dict[str, Sequence[np.ndarray]] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)
    error: str = ""


def answer(say: Callable[[Path], Said], packages: Sequence[str], command: Sequence[str]) -> bool:
    """Do what a peer's script is asked to: OUT MODEL... False if it is asked for nothing."""
    if not command:
        return False
    out, *folders = map(Path, command)
    said = {}
    for folder in folders:
        try:
            said[folder.name] = say(folder)
        except Exception as error:  # a folder that this peer cannot read
            said[folder.name] = Said(error=f"{type(error).__name__}: {error}".splitlines()[0])
    write(out, said, packages)
    return True


def write_golden(folder: Path, said: dict[str, Said], packages: Sequence[str]) -> None:
    """The same, small: rows in 16 bits, which is 1.5e-5 off at most, and pooled ones of few models."""
    for name, one in said.items():
        kinds = [kind for kind in one.rows if name in POOLED or not kind.startswith("pooled")]
        one.rows = {
            kind: [np.rint(rows * FIXED).astype(np.int16) for rows in one.rows[kind]] for kind in kinds
        }
    write(folder, said, packages)


def write(folder: Path, said: dict[str, Said], packages: Sequence[str]) -> None:
    """Write what a peer said of each model, by its name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, one in said.items():
        if one.error:
            continue
        arrays = {}
        for kind, rows in one.rows.items():
            arrays[f"{kind}_rows"] = np.concatenate(rows)
            arrays[f"{kind}_starts"] = np.cumsum([0, *map(len, rows)], dtype=np.int32)
        np.savez_compressed(folder / f"{name}.npz", **arrays)
    about = {
        "versions": {name: version(name) for name in packages} | {"python": sys.version.split()[0]},
        "orders": {name: one.orders for name, one in said.items() if not one.error},
        "errors": {name: one.error for name, one in said.items() if one.error},
    }
    (folder / "peer.json").write_text(json.dumps(about) + "\n")
