"""Fits, validations, tests and predictions as a user sees them."""

from __future__ import annotations

import csv
import math
import warnings

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, random_split

import lit_studio as L
from lit_studio.base.runs import RunDirectory
from tests.unit.trainer.models import Regression, Validated, equal, loader, seeded, trainer, weights


class Digits(L.LightningModule):
    """The classifier of the quickstart, in small."""

    def __init__(self, lr: float = 1e-2):
        super().__init__()
        self.save_hyperparameters()
        self.network = torch.nn.Sequential(
            torch.nn.Conv2d(1, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
            torch.nn.Conv2d(16, 32, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(512, 10),
        )  # fmt: skip

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = torch.nn.functional.cross_entropy(self.network(x), y)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_acc", self.accuracy(batch), prog_bar=True)

    def test_step(self, batch, batch_idx):
        self.log("test_acc", self.accuracy(batch))

    def accuracy(self, batch):
        x, y = batch
        return (self.network(x).argmax(1) == y).float().mean()

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams.lr)
        steps = self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.hparams.lr, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def test_digits_are_learned_within_seconds(tmp_path):
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32).view(-1, 1, 8, 8), torch.tensor(labels))
    train, val, test = random_split(data, [1297, 250, 250], torch.Generator().manual_seed(0))
    L.seed_everything(1, verbose=False)
    fit = L.Trainer(max_epochs=8, accelerator="cpu", default_root_dir=tmp_path, enable_model_summary=False)
    fit.fit(Digits(), DataLoader(train, 32, shuffle=True), DataLoader(val, 250))
    [found] = fit.test(ckpt_path="best", dataloaders=DataLoader(test, 100), verbose=False)
    assert found["test_acc"] >= 0.97
    run = tmp_path / "lightning_logs" / "version_0"
    assert RunDirectory.open(run).status().state == "finished"
    rows = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    assert [float(row["val_acc"]) for row in rows if row["val_acc"]][-1] > 0.9
    restored = Digits.load_from_checkpoint(fit.checkpoint_callback.best_model_path)
    assert restored.hparams.lr == 1e-2
    assert equal(weights(restored), weights(fit.lightning_module))


def test_the_datamodule_may_take_the_place_of_loaders():
    datamodule = L.LightningDataModule.from_datasets(*[loader().dataset] * 3, batch_size=4)
    fit = trainer()
    fit.fit(Validated(), datamodule)
    assert fit.global_step == 2
    assert fit.datamodule is datamodule is fit.lightning_module.trainer.datamodule
    assert set(fit.test(dataloaders=datamodule, verbose=False)[0]) == {"test_loss"}
    assert set(fit.test(verbose=False)[0]) == {"test_loss"}  # goes on with the last module and datamodule


def test_validation_in_the_middle_leaves_the_training_of_each_submodule_as_it_was():
    class Mixed(Validated):
        def __init__(self):
            super().__init__()
            self.frozen = torch.nn.Dropout()
            self.frozen.eval()
            self.modes = []

        def training_step(self, batch, batch_idx):
            self.modes.append((self.training, self.frozen.training))
            return super().training_step(batch, batch_idx)

        def validation_step(self, batch, batch_idx):
            assert not self.training
            assert not torch.is_grad_enabled()
            super().validation_step(batch, batch_idx)

    module = Mixed()
    with pytest.warns(UserWarning, match="in eval mode at the start of training"):
        trainer(val_check_interval=2).fit(module, loader(), loader())
    assert module.modes == [(True, False)] * 4


@pytest.mark.parametrize(
    ("settings", "steps"), [({}, 2), ({"min_steps": 2}, 4), ({"min_steps": 6}, 6), ({"min_epochs": 2}, 8)]
)
def test_an_early_wish_to_stop_is_granted_as_lightning_does(settings, steps):
    class Impatient(L.Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            trainer.should_stop = trainer.should_stop or batch_idx == 1

    fit = trainer(max_epochs=5, callbacks=Impatient(), **settings)
    fit.fit(Regression(), loader())
    assert fit.global_step == steps  # ``min_steps`` alone means a whole epoch at least


@pytest.mark.parametrize(
    ("settings", "steps", "validations"),
    [
        ({"max_epochs": 2}, 8, 2),
        ({"max_epochs": 2, "check_val_every_n_epoch": 2}, 8, 1),
        ({"val_check_interval": 2}, 4, 2),
        ({"val_check_interval": 0.25}, 4, 4),
        ({"max_epochs": 2, "val_check_interval": 3, "check_val_every_n_epoch": None}, 8, 2),
        ({"max_epochs": -1, "max_steps": 6}, 6, 1),
        ({"limit_train_batches": 0.5}, 2, 1),
        ({"limit_train_batches": 3, "limit_val_batches": 0}, 3, 0),
        ({"overfit_batches": 1, "max_epochs": 3}, 3, 3),
        ({"fast_dev_run": True}, 1, 1),
        ({"fast_dev_run": 3}, 3, 1),
        ({"accumulate_grad_batches": 3}, 2, 1),
        ({"max_epochs": 3, "min_epochs": 5}, 12, 3),
        ({"num_sanity_val_steps": 2}, 4, 2),
    ],
)
def test_bounds_and_limits(settings, steps, validations):
    class Counting(Validated):
        passes = 0

        def on_validation_start(self):
            self.passes += 1

    module, fit = Counting(), trainer(**settings)
    fit.fit(module, loader(), loader())
    assert (fit.global_step, module.passes) == (steps, validations)
    assert fit.current_epoch == (1 if fit.max_epochs == -1 else fit.max_epochs) or fit.max_epochs == -1


def test_a_callback_that_stops_is_held_back_by_the_minimum():
    class Impatient(L.Callback):
        def on_train_batch_end(self, trainer, *_):
            trainer.should_stop = True

    fit = trainer(max_epochs=10, min_steps=6, callbacks=Impatient())
    fit.fit(Regression(), loader())
    assert fit.global_step == 6
    assert not fit.interrupted


def test_max_time_stops_within_an_epoch():
    fit = trainer(max_epochs=-1, max_time={"seconds": 0.3})
    fit.fit(Regression(), loader(samples=20000, batch_size=1))
    assert 10 < fit.global_step < 20000


def test_a_second_fit_goes_on_where_the_first_ended():
    module, fit = seeded(), trainer(max_epochs=2)
    fit.fit(module, loader())
    fit.fit_loop.max_epochs = 3
    fit.fit(module, loader())
    whole = seeded()
    trainer(max_epochs=3).fit(whole, loader())
    assert fit.global_step == 12
    assert equal(weights(module), weights(whole))


def test_predictions_are_nested_by_loader():
    predict = trainer()
    found = predict.predict(Regression(), loader())
    assert [tuple(batch.shape) for batch in found] == [(2, 1)] * 4

    class Several(Regression):
        def predict_step(self, batch, batch_idx, dataloader_idx):
            return dataloader_idx, batch_idx

    assert predict.predict(Several(), [loader(2), loader(4)]) == [[(0, 0)], [(1, 0), (1, 1)]]
    assert predict.predict(Regression(), loader(), return_predictions=False) is None


def test_predict_takes_forward_where_there_is_no_step():
    class Forward(L.LightningModule):
        def forward(self, x):
            return x.sum(1)

    assert trainer().predict(Forward(), DataLoader(torch.ones(4, 3), 2))[1].tolist() == [3.0, 3.0]


def test_an_iterable_without_a_length_is_read_one_batch_ahead_and_trained_to_its_end():
    drawn = []

    class Stream(IterableDataset):
        def __iter__(self):
            for i in range(5):
                drawn.append(i)
                yield torch.ones(4) * i, torch.ones(1)

    class Watching(Validated):
        seen = []

        def training_step(self, batch, batch_idx):
            self.seen.append((batch_idx, len(drawn), self.trainer.is_last_batch))
            return super().training_step(batch, batch_idx)

    fit = trainer(accumulate_grad_batches=2)
    fit.fit(Watching(), DataLoader(Stream(), batch_size=None), loader())
    assert Watching.seen == [(0, 2, False), (1, 3, False), (2, 4, False), (3, 5, False), (4, 5, True)]
    assert fit.num_training_batches == math.inf
    assert fit.global_step == 3  # the last, lonely micro-batch steps too
    assert "val_loss" in fit.callback_metrics


def test_a_collection_of_training_loaders_arrives_as_a_collection():
    class Paired(Regression):
        def training_step(self, batch, batch_idx):
            assert set(batch) == {"a", "b"}
            return self.error(batch["a"]) + self.error(batch["b"])

    fit = trainer()
    fit.fit(Paired(), {"a": loader(8), "b": loader(4)})
    assert fit.global_step == 4  # the longer decides, the shorter starts again


def test_several_validation_loaders_get_an_index_and_a_suffix():
    class Several(Regression):
        def validation_step(self, batch, batch_idx, dataloader_idx):
            self.log("val_loss", float(dataloader_idx))
            self.log("plain", 1.0, add_dataloader_idx=False)

    fit = trainer()
    found = fit.validate(Several(), [loader(), loader()], verbose=False)
    assert found[0] == {"val_loss/dataloader_idx_0": 0.0, "plain": 1.0}
    assert found[1]["val_loss/dataloader_idx_1"] == 1.0
    with pytest.raises(RuntimeError, match="dataloader_idx"):
        fit.validate(Validated(), [loader(), loader()], verbose=False)


def test_an_empty_loader_is_said_and_nothing_is_trained():
    empty = DataLoader(TensorDataset(torch.empty(0, 4), torch.empty(0, 1)))
    module = seeded()
    fit = trainer(max_epochs=3)
    with pytest.warns(UserWarning, match="train dataloader is empty: its length is zero batches"):
        fit.fit(module, empty)
    assert fit.global_step == 0
    assert equal(weights(module), weights(seeded()))


def test_loaders_are_asked_for_again_every_n_epochs():
    class Asking(Regression):
        asked = 0

        def train_dataloader(self):
            self.asked += 1
            return loader()

    module = Asking()
    trainer(max_epochs=4, reload_dataloaders_every_n_epochs=2).fit(module)
    assert module.asked == 2


def test_the_results_are_printed_as_a_table(capsys):
    trainer().test(Regression(), loader())
    printed = capsys.readouterr().out
    assert "Test metric" in printed
    assert "DataLoader 0" in printed
    assert "test_loss" in printed
    trainer().test(Regression(), loader(), verbose=False)
    assert capsys.readouterr().out == ""


def test_in_barebones_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit = L.Trainer(barebones=True, max_epochs=1, accelerator="cpu")
    fit.fit(Validated(), loader(), loader())
    assert fit.loggers == fit.callbacks == []
    assert fit.observation.run is None
    assert list(tmp_path.iterdir()) == []


def test_the_same_trainer_fits_and_tests_in_one_directory(tmp_path):
    fit = trainer(tmp_path, logger=True)
    fit.fit(Regression(), loader())
    fit.test(dataloaders=loader(), verbose=False)
    assert [path.name for path in (tmp_path / "lightning_logs").iterdir()] == ["version_0"]
    status = RunDirectory.open(tmp_path / "lightning_logs" / "version_0").status()
    assert (status.state, status.stage) == ("finished", "test")
    assert set(status.metrics) == {"test_loss"}


def test_without_a_logger_the_record_is_temporary(tmp_path, monkeypatch, lit_studio_home):
    monkeypatch.chdir(tmp_path)
    fit = trainer()
    fit.fit(Regression(), loader())
    assert fit.observation.run is not None
    assert lit_studio_home in fit.observation.run.path.parents
    assert list(tmp_path.iterdir()) == []


def test_deterministic_and_anomaly_detection_reach_torch():
    try:
        trainer(deterministic="warn")
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)

    class Broken(Regression):
        def training_step(self, batch, batch_idx):
            return (self(batch[0]) * 0).sqrt().sum()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError, match="returned nan values"):
            trainer(detect_anomaly=True).fit(Broken(), loader())
