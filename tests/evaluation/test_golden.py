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
