"""From text to rows: documents and tokens a second, and where the time goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.judged import collection, texts
from benchmarks.machine import about, best_and_median, cores, in_child, seconds
from femtosearch.model.checkpoint import read_checkpoint
from femtosearch.model.encoder import Encoder
from femtosearch.model.model import BATCH, Model
from femtosearch.model.tokenizer import Tokenizer
from femtosearch.types import BertConfig

Row = tuple[str, float, str]


def measure(data: Path, model: str | None, runs: int) -> tuple[dict[str, Any], list[Row]]:
    """The results, and the rows of a table."""
    data_set = collection(data)
    results: dict[str, Any] = {
        "collection": data_set.name,
        "documents": len(data_set.documents),
        "runs": runs,
    }
    rows: list[Row] = []
    for count in sorted({1, min(2, cores()), cores()}):
        figures = in_child(_measure, data, model, runs, cores=count)
        results[f"cores_{count}"] = figures
        on = f"{count} core{'s' if count > 1 else ''}"
        rows += [
            (f"{on}: documents/s, best", figures["documents_per_second"]["best"], ""),
            (f"{on}: documents/s, median", figures["documents_per_second"]["median"], ""),
            (f"{on}: tokens/s, best", figures["tokens_per_second"]["best"], ""),
            (f"{on}: tokeniser's share", 100 * figures["tokenizer_share"], "%"),
            (f"{on}: encoder's share", 100 * figures["encoder_share"], "%"),
            (f"{on}: encoder alone, tokens/s", figures["encoder_tokens_per_second"], ""),
            (f"{on}: tokenizer alone, tokens/s", figures["tokenizer_tokens_per_second"], ""),
        ]
    return {"model": about(Model.load(model)), **results}, rows


def _measure(data: Path, source: str | None, runs: int) -> dict[str, Any]:
    """In a process of its own, with the cores that it was given."""
    documents = texts(data)
    model = Model.load(source)
    model.encode_documents(documents[:BATCH])  # threads are started, pages touched
    times = [seconds(model.encode_documents, documents) for _ in range(runs)]
    pieces = [parts(documents, source) for _ in range(runs)]
    tokens = pieces[0]["tokens"]
    tokenizer = min(piece["tokenizer"] for piece in pieces)
    encoder = min(piece["encoder"] for piece in pieces)
    return {
        "tokens": tokens,
        "documents_per_second": best_and_median([len(documents) / time for time in times]),
        "tokens_per_second": best_and_median([tokens / time for time in times]),
        "tokenizer_tokens_per_second": tokens / tokenizer,
        "encoder_tokens_per_second": tokens / encoder,
        "tokenizer_share": tokenizer / min(times),
        "encoder_share": encoder / min(times),
    }


def parts(texts: list[str], source: str | None) -> dict[str, float]:
    """Seconds of the tokenizer and of the encoder, in the batches that Model uses."""
    model = Model.load(source)
    checkpoint = read_checkpoint(model.source)
    tokenizer = Tokenizer(checkpoint.tokenizer, checkpoint.conventions, checkpoint.config)
    assert isinstance(checkpoint.config, BertConfig)
    encoder = Encoder(checkpoint.config, checkpoint.weights, checkpoint.dense, precision=model.precision)
    batches = [texts[at : at + BATCH] for at in range(0, len(texts), BATCH)]
    made = [tokenizer.documents(batch) for batch in batches[:1]]
    tokenizing = seconds(lambda: made.extend(tokenizer.documents(batch) for batch in batches))
    made = made[1:]
    encoding = seconds(lambda: [encoder.encode(t.ids, t.starts, t.attended, t.keep) for t in made])
    return {"tokens": sum(len(t.ids) for t in made), "tokenizer": tokenizing, "encoder": encoding}
