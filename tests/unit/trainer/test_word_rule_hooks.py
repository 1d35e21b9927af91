"""Who is called: hooks that were taken away, hooks of stand-ins, and what a hook may ask for."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

import lit_studio as L
from tests.unit.trainer.models import Regression, Validated, loader, trainer


def test_a_step_set_to_none_is_not_there():
    module = Validated()
    module.validation_step = None
    seen = []
    module.on_validation_start = lambda: seen.append("validation")
    with pytest.warns(UserWarning, match="no `validation_step`"):
        trainer().fit(module, loader(), loader())
    assert seen == []
    module.training_step = None
    with pytest.raises(L.MisconfigurationException, match="No `training_step"):
        trainer().fit(module, loader())


def test_loaders_set_to_none_are_not_there():
    class Own(Validated):
        def train_dataloader(self):
            return loader()

    module = Own()
    module.train_dataloader = None
    with pytest.raises(L.MisconfigurationException, match=r"An invalid dataloader was passed to `Trainer\.fit"):
        trainer().fit(module)


def test_a_hook_set_to_none_in_the_class_is_not_called():
    class Own(Regression):
        on_train_start = None
        configure_model = None

    trainer().fit(Own(), loader())


def test_a_mock_that_stands_for_a_callback_is_called_in_every_hook():
    callback = Mock(spec=L.Callback)
    trainer(callbacks=[callback]).fit(Validated(), loader(2), loader(2))
    called = [call[0] for call in callback.method_calls]
    assert called[:2] == ["setup", "on_fit_start"]
    assert {"on_train_batch_start", "on_validation_batch_end", "on_before_zero_grad", "teardown"} <= set(called)
