"""An index as a database: python examples/database.py FOLDER (which is made; it may be run again)

Filters, words beside meaning, why a hit is a hit, changed metadata, a copy, and a check.
"""

import sys
import tempfile
from pathlib import Path

import femtosearch as fs

TICKETS = [
    {"id": "T-1", "text": "The PX-7300 printer jams on thick paper.", "year": 2023, "tags": ["printer"]},
    {"id": "T-2", "text": "My kitten chewed through the cable.", "year": 2024, "tags": ["cable", "cat"]},
    {"id": "T-3", "text": "Uploads fail and are never tried again.", "year": 2025, "tags": ["upload"]},
    {"id": "T-4", "text": "The screen of the PX-7301 stays dark.", "year": 2025, "tags": ["printer"]},
]


def main(folder: str) -> None:
    with fs.Index(folder) as index:
        index.add(TICKETS)
        print("since 2024:", [hit.id for hit in index.search("small cats", where="year >= 2024", k=1)])
        print("a code:", index.search('"PX-7300" paper')[0].id)
        hit = index.search("cats chewing wires", k=1, explain=True)[0]
        match = max((m for m in hit.explanation.tokens if m.token and m.match), key=lambda m: m.similarity)
        print(f"why {hit.id}: {match.token!r} is like {match.match!r}")
        print("tags:", index.facets("tags", where={"year": {"$gte": 2024}}))
        index.update("T-3", {"state": "solved"})  # nothing is encoded
        print("solved:", [document.id for document in index.documents('state = "solved"')])
        print("deleted:", index.delete(where="year < 2024"), "of", len(index) + 1)
        with tempfile.TemporaryDirectory() as place:
            copy = Path(place, "copy")  # a new folder
            index.snapshot(copy)
            with fs.Index(copy) as copied:
                print("the copy:", len(copied), "documents, damage:", copied.verify())


if __name__ == "__main__":
    main(*sys.argv[1:2])
