from __future__ import annotations

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from imageclef.learners.schedule import rate_factor, set_rates


def test_warmup_and_cosine_are_those_of_torch() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = SequentialLR(
        optimizer, [LinearLR(optimizer, 0.25, 1.0, 3), CosineAnnealingLR(optimizer, 16)], [3]
    )
    expected = []
    for _ in range(20):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    # torch counts the warm-up from the first factor to 1 inclusively: one update more than ours.
    found = [rate_factor(update, 20, 4 / 20, "cosine") for update in range(20)]
    assert found[:3] == pytest.approx([0.25, 0.5, 0.75])
    assert found[:3] == pytest.approx(expected[:3])
    assert found[4:] == pytest.approx(expected[3:19])


def test_a_constant_rate_stays() -> None:
    assert [rate_factor(update, 5, 0.0, "constant") for update in range(5)] == [1.0] * 5


def test_rates_are_set_from_where_they_began() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
    for factor in (0.5, 0.5, 1.0):
        set_rates([optimizer], factor)
        assert optimizer.param_groups[0]["lr"] == 0.2 * factor
