"""Make the golden index of a release, once, when it is released; never again.

    python tests/golden/make_release.py

It writes tests/golden/index/release-<version>/: `index`, a folder that has all that an index of that version
can have (files it is of, words, declared keys, metadata, FDEs, versions that were replaced, tombstones), and
`expected.json`, what later versions must find in it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

import femtosearch  # noqa: E402
from femtosearch.fde import Muvera  # noqa: E402
from femtosearch.index.index import Index  # noqa: E402
from femtosearch.read import refresh  # noqa: E402
from tests.fakes import FakeModel  # noqa: E402

FILES = {
    "pets.md": "# Pets\n\nA small cat slept.\n\n## Dogs\n\nThe dog ran into the night.\n",
    "deep/rows.csv": "id,text,year\nr1,a blue whale sings,2020\nr2,old words of the night,2024\n",
    "lines.jsonl": '{"id": "l1", "text": "words of the sea", "tags": ["sea", "é"]}\n',
}
QUERY = "words of the night"
SEARCHES: list[dict[str, object]] = [
    {"mode": "maxsim", "length_penalty": 0},
    {"mode": "fde", "length_penalty": 0},
    {"hybrid": 0.5, "length_penalty": 0},
    {"where": {"tags": {"$contains": "sea"}}, "hybrid": 0, "length_penalty": 0},
    {"where": {"year": {"$gte": 2021}}, "hybrid": 0, "length_penalty": 0},
]


def main() -> None:
    place = HERE / "index" / f"release-{femtosearch.__version__}"
    model = FakeModel(dims=32)  # whose rows have 4 bits
    with (
        tempfile.TemporaryDirectory() as folder,
        Index(place / "index", model=model, fde=Muvera(3, 2, 4)) as index,
    ):
        os.chdir(folder)
        for name, content in FILES.items():
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_text(content, encoding="utf-8")
        refresh(index, FILES)
        index.set_keys(["year", "tags"])
        index.add(
            [
                {"id": "replaced", "text": "old"},
                {"id": "deleted", "text": "gone"},
                {"id": "odd \0 🦊", "text": "漢"},
            ]
        )
        index.add([{"id": "replaced", "text": "new words", "year": 2026}])
        index.delete("deleted")
        expected = {
            "model": {"name": model.name, "fingerprint": model.fingerprint, "dims": model.dims},
            "query": model.encode_queries([QUERY]).rows.tolist(),
            "hits": [[how, hits_of(index, how)] for how in SEARCHES],
            "documents": [[d.id, d.text, d.metadata] for d in sorted(index.documents(), key=lambda d: d.id)],
        }
    (place / "index" / "writer.lock").unlink()
    (place / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


def hits_of(index: Index, how: dict[str, object]) -> list[list[object]]:
    """What a search finds: id, score, and where it is."""
    return [
        [hit.id, hit.score, hit.passage, hit.lines, hit.row, hit.heading]
        for hit in index.search(QUERY, k=99, **how)
    ]


if __name__ == "__main__":
    main()
