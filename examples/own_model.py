"""A model folder of your own: python examples/own_model.py [MODEL]

MODEL is a folder of PyLate's, Sentence Transformers' or Stanford ColBERT's layout, or of `femtosearch train`.
Without it the built-in femto stands in for it, saved to a folder first.
"""

import sys
import tempfile
from pathlib import Path

import femtosearch as fs

TEXTS = ["A kitten slept on the sofa.", "Stock markets fell on Monday.", "Bake the bread for forty minutes."]
QUERY = "a small cat"


def main(source: str | None, place: Path) -> None:
    if source is None:
        source = str(place / "model")
        fs.Model.load("femto").save(source)
    model = fs.Model.load(source)
    print(f"{model.name}: {model.parameters:,} parameters, rows of {model.dims} numbers")
    print(f"queries of up to {model.conventions.query_length} tokens; read as {model.layout}")
    for candidate in (model, fs.Model.load()):
        best = fs.rerank(candidate, QUERY, TEXTS)[0]
        print(f"{candidate.name}: {best.text}")
    with fs.Index(place / "index", model=source) as index:  # from now on it belongs to this model
        index.add(TEXTS)
        print(f"the index: {index.search(QUERY, k=1)[0].text}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(sys.argv[1] if len(sys.argv) > 1 else None, Path(folder))
