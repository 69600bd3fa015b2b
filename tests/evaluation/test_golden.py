"""Scores are what the peers' own evaluators give. tests/golden/make_evaluation.py made what is compared."""

import json
from pathlib import Path

import pytest

from femtosearch import evaluate
from femtosearch.model.model import Model

GOLDEN = Path(__file__).parents[1] / "golden"


def said(peer):
    return json.loads((GOLDEN / "evaluation" / f"{peer}.json").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("peer", ["sentence-transformers", "pylate"])
def test_nanobeir_is_the_peers(peer):
    model = Model.load(GOLDEN / "models" / "pylate", conventions=peer)
    found = evaluate(GOLDEN / "evaluation" / "nano", model, rules=peer)
    sets = {one.name: one for one in found.sets}
    wanted = said(peer)
    assert len(sets) == 13 and len(wanted) == 14 * 15
    for key, value in wanted.items():
        name, _, measure = key.partition("_")
        measure = measure.rpartition("_")[2]
        means = found.means["exact"] if name == "NanoBEIR" else sets[name].modes["exact"].means
        assert means[measure].mean == pytest.approx(value, abs=5e-5), key


def test_txtais_benchmark_script_is_the_peers():
    model = Model.load(GOLDEN / "models" / "pylate", conventions="txtai")
    found = evaluate(GOLDEN / "evaluation" / "beir", model, rules="txtai", modes=["exact"])
    means, wanted = found.means["exact"], said("txtai")
    for ours, theirs in (("ndcg@10", "ndcg_cut_10"), ("recall@10", "recall_10"), ("precision@10", "P_10")):
        assert means[ours].mean == pytest.approx(wanted[theirs], abs=5e-5)


def test_beir_is_beirs_loader_and_evaluator():
    """Queries have documents' ids, which BEIR takes out; one has nothing relevant, which counts as 0."""
    model = Model.load(GOLDEN / "models" / "pylate", conventions="pylate")
    found = evaluate(GOLDEN / "evaluation" / "beir", model, modes=["exact"])
    means, wanted = found.means["exact"], said("beir")
    assert found.rules == "beir" and found.sets[0].queries == 11
    names = {"ndcg": "NDCG", "map": "MAP", "recall": "Recall", "precision": "P", "mrr": "MRR"}
    compared = {name: wanted[f"{names[kind]}@{cut}"] for name in means
                for kind, _, cut in [name.partition("@")] if kind in names}  # fmt: skip
    assert len(compared) == 12
    for name, value in compared.items():
        assert means[name].mean == pytest.approx(value, abs=5.1e-6), name
