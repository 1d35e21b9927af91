"""Learning rates that a person changes: by a number, by a factor, and back."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from lit_studio.base.errors import InvalidStateError, InvalidValueError
from lit_studio.steering.rates import LearningRates


def optimizer(*rates):
    """One group a rate."""
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates]
    return torch.optim.SGD(groups, lr=1.0)


def rates(one):
    return [group["lr"] for group in one.param_groups]


def test_a_factor_keeps_the_ratio_of_groups():
    one, changes = optimizer(0.1, 0.01), LearningRates()
    assert changes.change([one], [], factor=0.5) == "lr 0.1, 0.01 → 0.05, 0.005"
    assert rates(one) == [0.05, 0.005]
    assert changes.change([one], [], factor=2, group=1) == "lr of group 1 0.005 → 0.01"
    assert rates(one) == [0.05, 0.01]


def test_undo_goes_back_step_by_step_group_by_group():
    one, changes = optimizer(0.1, 0.01), LearningRates()
    changes.change([one], [], value=0.3)
    changes.change([one], [], value=0.0, group=0)
    assert changes.undo([one], []) == "lr 0 → 0.3"
    assert rates(one) == [0.3, 0.3]
    assert changes.undo([one], []) == "lr 0.3 → 0.1, 0.01"
    assert rates(one) == [0.1, 0.01]
    with pytest.raises(InvalidStateError, match="no learning rate has been changed"):
        changes.undo([one], [])


def test_undo_keeps_what_a_schedule_has_done_since():
    one, changes = optimizer(0.4), LearningRates()
    schedule = torch.optim.lr_scheduler.StepLR(one, 1, gamma=0.5)
    untouched = optimizer(0.4)
    alone = torch.optim.lr_scheduler.StepLR(untouched, 1, gamma=0.5)
    config = SimpleNamespace(scheduler=schedule)
    changes.change([one], [config], factor=0.1)
    for _ in range(2):
        one.step(), schedule.step(), untouched.step(), alone.step()
    assert rates(one) == pytest.approx([0.01])
    changes.undo([one], [config])
    assert rates(one) == pytest.approx(rates(untouched))
    for _ in range(2):
        one.step(), schedule.step(), untouched.step(), alone.step()
    assert rates(one) == pytest.approx(rates(untouched))


def test_a_group_that_is_not_there_changes_nothing_and_can_not_be_undone():
    one, changes = optimizer(0.1), LearningRates()
    for arguments in ({"value": 1.0, "group": 1}, {"factor": 2.0, "group": 3}):
        with pytest.raises(InvalidValueError, match="no such parameter group"):
            changes.change([one], [], **arguments)
    assert rates(one) == [0.1]
    with pytest.raises(InvalidStateError):
        changes.undo([one], [])
