"""What the trainer's tests share beside their fixtures."""

import json

import torch

CPU = torch.device("cpu")
TWINS = dict(zip("abcdefghijklm", "nopqrstuvwxyz", strict=True))


def entries(folder):
    """The lines of a run's log."""
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def losses(folder, stage, name="loss"):
    """What a stage logged under a name, in order."""
    return [entry[name] for entry in entries(folder) if entry["stage"] == stage and name in entry]


def write_lines(path, rows):
    """JSON lines."""
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
