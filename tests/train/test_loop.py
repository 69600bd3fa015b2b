"""The optimiser's settings are the recipe's; a batch of texts is what the conventions say."""

import numpy as np
import pytest
import torch

from femtosearch.train.loop import State
from femtosearch.train.recipe import Rates


class Toy(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Parameter(torch.ones(3))
        self.rest = torch.nn.Parameter(torch.ones(3))


def rates_of(rates, tmp_path, steps=20):
    model = Toy()
    state = State(tmp_path / "toy.pt", model, steps, rates)
    found = []
    for step in range(steps):
        found.append([group["lr"] for group in state.optimiser.param_groups])
        state.step(lambda _: {"loss": (model.table + model.rest).square().sum()}, step)
    return np.array(found)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_rates_warm_up_and_fall(tmp_path, schedule):
    found = rates_of(Rates(learning_rate=0.1, table_rate=3.0, warm_up=0.2, schedule=schedule), tmp_path)
    np.testing.assert_allclose(found[:, 0], 3 * found[:, 1])
    np.testing.assert_allclose(found[:4, 1], [0.025, 0.05, 0.075, 0.1])
    assert (np.diff(found[4:, 1]) < 0).all()
    middle = 0.1 * 0.5 if schedule == "linear" else 0.1 * 0.51
    assert found[12, 1] == pytest.approx(middle)


def test_a_checkpoint_holds_all_that_a_step_depends_on(tmp_path):
    ends = []
    for name in ("whole", "cut"):
        model = Toy()
        state = State(tmp_path / f"{name}.pt", model, 9, Rates())
        for step in range(9):
            if name == "cut" and step == 5:
                state.save(5)
                model = Toy()
                state = State(tmp_path / "cut.pt", model, 9, Rates())
                assert state.resume() == 5
            state.step(lambda n, m=model: {"loss": (m.rest * (n + 1)).square().sum()}, step)
        ends.append(model.rest.detach())
    assert torch.equal(*ends)
