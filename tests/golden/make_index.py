"""Make the golden index of the current format version, once, when the version is released; never again.

    python tests/golden/make_index.py

It writes tests/golden/index/v<layout>-<version of segments>-<newest feature>/: `index`, the folder, and
`expected.json`, what later ones must find in it, by MaxSim and by the FDE. The query's rows are written down
too: nothing depends on how a test's model draws its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from femtosearch.fde import Muvera  # noqa: E402
from femtosearch.index.index import Index  # noqa: E402
from femtosearch.index.schema import NEWEST, PLAIN  # noqa: E402
from femtosearch.index.segment_header import VERSION  # noqa: E402
from tests.fakes import FakeModel  # noqa: E402

DOCUMENTS = [
    {"id": "fox", "text": "the quick brown fox jumps over the lazy dog and runs on into the night"},
    {
        "id": "whale",
        "text": "a blue whale sings",
        "year": 2020,
        "tags": ["sea", "é", None],
        "deep": {"a": [1.5]},
    },
    {"id": "replaced", "text": "old words"},
    {"id": "deleted", "text": "words that are gone"},
    {"id": "empty", "text": ""},
    {"id": "odd \0 🦊", "text": "漢字 and\0nul"},
    {"id": "typeset", "text": "the \ufb01nan\xadcial of\ufb01ce of \u0141\xf3d\u017a"},
]
QUERY = "blue words of the night"


def main() -> None:
    model = FakeModel()
    place = HERE / "index" / f"v{NEWEST}-{VERSION}-{PLAIN}"
    with Index(place / "index", model=model, fde=Muvera(10, 2, 4, final=150)) as index:
        index.add(DOCUMENTS)
        index.add([{"id": "replaced", "text": "new words"}])
        index.delete("deleted")
        hits, by_fde = (
            [[hit.id, hit.score, hit.passage] for hit in index.search(QUERY, mode=mode, length_penalty=0)]
            for mode in ("maxsim", "fde")
        )
        ids = [str(document["id"]) for document in DOCUMENTS]
        documents = [[d.id, d.text, d.metadata] for i in ids if (d := index.get(i))]
    expected = {
        "model": {"name": model.name, "fingerprint": model.fingerprint, "dims": model.dims},
        "query": model.encode_queries([QUERY]).rows.tolist(),
        "hits": hits,
        "by_fde": by_fde,
        "documents": documents,
    }
    (place / "index" / "writer.lock").unlink()
    (place / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
