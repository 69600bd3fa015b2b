"""What the programs in card/ give with the peers that they are written for. Run it where those are installed:

HF_HUB_OFFLINE=1 python tests/golden/make_card.py MODEL txtai     writes card/NAME.json
HF_HUB_OFFLINE=1 python tests/golden/make_card.py MODEL pylate    writes card/pylate.json

MODEL is a folder that `femtosearch export femto MODEL` wrote.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent / "card"
PROGRAMS = {"txtai": ("embeddings", "similarity", "reranker", "sql"), "pylate": ("pylate",)}
DOCUMENTS = [
    "US tops 5 million confirmed virus cases",
    "Canada's last fully intact ice shelf has suddenly collapsed, forming a Manhattan-sized iceberg",
    "Beijing mobilises invasion craft along coast as Taiwan tensions escalate",
    "The National Park Service warns against sacrificing slower friends in a bear attack",
    "Maine man wins $1M from $25 lottery ticket",
    "Make huge profits without work, earn up to $100,000 a day",
]
QUERIES = ["how can one win money?", "climate change", "dangerous animals", "health crisis"]


def main(path: str, peer: str) -> None:
    """Write the answers of a peer."""
    for program in PROGRAMS[peer]:
        names = {"path": path, "documents": DOCUMENTS, "queries": QUERIES}
        exec((HERE / f"{program}.txt").read_text(encoding="utf-8"), names)
        content = {"peer": f"{peer} {version(peer)}", "answers": names["answers"]}
        text = json.dumps(content, indent=1, ensure_ascii=False, default=float)
        (HERE / f"{program}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:3])
