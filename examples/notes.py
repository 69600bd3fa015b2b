"""Search a folder of notes: python examples/notes.py FOLDER QUERY

The index lies beside the notes. Every run brings it up to date: new and changed files are added, and what has
gone from the folder goes from the index.
"""

import sys
from pathlib import Path

import femtosearch as fs
from femtosearch.read import read


def refresh(index: fs.Index, folder: Path) -> None:
    """Make the index hold the folder's files as they are now."""
    documents = {document.id: document for document in read([str(folder)])}
    index.add(document for document in documents.values() if index.get(document.id) != document)
    index.delete([document.id for document in index if document.id not in documents])


def main(folder: str, query: str) -> None:
    notes = Path(folder)
    with fs.Index(notes / ".index") as index:
        refresh(index, notes)
        for hit in index.search(query, k=5):
            start, end = hit.passage or (0, 0)
            print(f"{hit.score:5.1f}  {notes / hit.id}")
            print(f"       {' '.join(hit.text[start:end].split())[:90]}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
