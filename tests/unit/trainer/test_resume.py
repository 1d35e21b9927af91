"""Checkpoints: what is in them, and that a fit that resumes ends where the unbroken one would have."""

from __future__ import annotations

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

import lit_studio as L
from lit_studio.callbacks import ModelCheckpoint
from lit_studio.trainer.state import Position
from tests.unit.trainer.models import Validated, equal, loader, seeded, trainer, weights


class Scheduled(Validated):
    """AdamW under a cosine, so that optimizer and scheduler states matter."""

    def __init__(self, lr: float = 0.05):
        super().__init__()
        self.save_hyperparameters()

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams.lr)
        return [optimizer], [{"scheduler": CosineAnnealingLR(optimizer, 20), "interval": "step"}]


class Saving(L.Callback):
    """Saves in one hook, when ``global_step`` is ``step``."""

    def __init__(self, hook, step, path):
        self.path = path

        def save(trainer, *_):
            if trainer.global_step == step and not trainer.sanity_checking:
                trainer.save_checkpoint(path)

        setattr(self, hook, save)


@pytest.mark.parametrize(
    ("hook", "step", "hooks"),
    [
        ("on_train_epoch_end", 4, ["start", "epoch_start 1"]),
        ("on_validation_end", 4, ["start", "epoch_end 0", "epoch_start 1"]),
        ("on_train_batch_end", 6, ["start", "epoch_end 1", "epoch_start 2"]),
        ("on_train_end", 12, []),  # nothing is left to do
    ],
)
def test_a_resumed_fit_ends_bit_equal(tmp_path, hook, step, hooks):
    path = tmp_path / "at.ckpt"
    whole = seeded(Scheduled)
    trainer(max_epochs=3, callbacks=Saving(hook, step, path)).fit(whole, loader(), loader())

    class Noting(L.Callback):
        seen = []

        def on_train_start(self, trainer, module):
            Noting.seen = ["start"]

        def on_train_epoch_start(self, trainer, module):
            self.seen.append(f"epoch_start {trainer.current_epoch}")

        def on_train_epoch_end(self, trainer, module):
            self.seen.append(f"epoch_end {trainer.current_epoch}")

    resumed, fit = seeded(Scheduled, seed=9), trainer(max_epochs=3, callbacks=Noting())
    fit.fit(resumed, loader(), loader(), ckpt_path=path)
    assert equal(weights(resumed), weights(whole))
    assert (fit.global_step, fit.current_epoch) == (12, 3)
    assert Noting.seen[: len(hooks)] == hooks


def test_resuming_within_accumulation_counts_steps_and_logs_on_where_it_was(tmp_path):
    path = tmp_path / "at.ckpt"
    settings = {"max_epochs": 3, "accumulate_grad_batches": 2}
    whole = seeded(Scheduled)
    trainer(**settings, callbacks=Saving("on_train_epoch_end", 4, path)).fit(whole, loader(), loader())
    resumed, fit = seeded(Scheduled, seed=9), trainer(**settings)
    fit.fit(resumed, loader(), loader(), ckpt_path=str(path))
    assert fit.global_step == fit.fit_loop.epoch_loop._batches_that_stepped == 6
    assert equal(weights(resumed), weights(whole))


def test_a_checkpoint_has_lightnings_keys_and_counts(tmp_path):
    fit = trainer(max_epochs=2, callbacks=ModelCheckpoint(tmp_path, every_n_epochs=1), enable_checkpointing=True)
    fit.fit(Scheduled(), loader(), loader())
    fit.save_checkpoint(tmp_path / "end.ckpt")
    checkpoint = torch.load(tmp_path / "end.ckpt", weights_only=True)
    assert set(checkpoint) == {
        "callbacks",
        "epoch",
        "global_step",
        "hparams_name",
        "hyper_parameters",
        "loops",
        "lr_schedulers",
        "optimizer_states",
        "pytorch-lightning_version",
        "state_dict",
    }
    assert (checkpoint["epoch"], checkpoint["global_step"], checkpoint["hyper_parameters"]) == (2, 8, {"lr": 0.05})
    assert set(checkpoint["loops"]) == {"fit_loop", "validate_loop", "test_loop", "predict_loop"}
    loop = checkpoint["loops"]["fit_loop"]
    assert loop["epoch_progress"]["current"] == {"ready": 2, "completed": 2, "started": 2, "processed": 2}
    assert loop["epoch_loop.batch_progress"]["total"] == {"ready": 8, "completed": 8, "started": 8, "processed": 8}
    assert loop["epoch_loop.batch_progress"]["is_last_batch"] is True
    steps = loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]
    assert steps == {"total": {"ready": 8, "completed": 8}, "current": {"ready": 4, "completed": 4}}
    assert loop["epoch_loop.scheduler_progress"]["total"]["completed"] == 8
    assert any(key.startswith("ModelCheckpoint{") for key in checkpoint["callbacks"])
    fit.save_checkpoint(tmp_path / "weights.ckpt", weights_only=True)
    small = torch.load(tmp_path / "weights.ckpt", weights_only=True)
    assert not {"optimizer_states", "lr_schedulers", "callbacks"} & set(small)


def test_a_checkpoint_of_lightning_itself_is_understood():
    # Counters as Lightning 2.6.5 writes them in ``on_train_batch_end`` of the second of three batches.
    counts = {"ready": 2, "completed": 1, "started": 2, "processed": 2}
    fit = {
        "epoch_loop.state_dict": {"_batches_that_stepped": 1},
        "epoch_loop.batch_progress": {"total": counts, "current": counts, "is_last_batch": False},
        "epoch_loop.scheduler_progress": {"total": {"ready": 0, "completed": 0}},
        "epoch_progress": {"current": {"ready": 1, "completed": 0, "started": 1, "processed": 0}},
    }
    position = Position.from_checkpoint({"epoch": 0, "global_step": 2, "loops": {"fit_loop": fit}})
    assert (position.epoch, position.batches_begun, position.stepped, position.optimizer_steps) == (0, 2, 2, 2)
    assert not position.epoch_processed
    assert Position.from_checkpoint({"epoch": 3, "global_step": 7}).epoch == 3  # no loops at all


def test_callbacks_module_and_datamodule_save_and_load_their_own():
    loaded = []

    class Counting(L.Callback):
        count = 0

        def on_train_batch_end(self, *_):
            self.count += 1

        def state_dict(self):
            return {"count": self.count}

        def load_state_dict(self, state_dict):
            self.count = state_dict["count"]

    class Own(Scheduled):
        def on_save_checkpoint(self, checkpoint):
            checkpoint["own"] = 5

        def on_load_checkpoint(self, checkpoint):
            loaded.append(checkpoint["own"])

    class Data(L.LightningDataModule):
        def train_dataloader(self):
            return loader()

        def state_dict(self):
            return {"cursor": 3}

        def load_state_dict(self, state_dict):
            loaded.append(state_dict["cursor"])

    fit = trainer(callbacks=Counting(), limit_val_batches=0)
    fit.fit(Own(), Data())
    fit.save_checkpoint(path := fit.observation.run.path / "c.ckpt")
    again = trainer(callbacks=Counting(), max_epochs=2, limit_val_batches=0)
    again.fit(Own(), Data(), ckpt_path=path)
    assert loaded == [5, 3]
    assert again.callbacks[0].count == 8


def test_best_and_last_are_found(tmp_path):
    def make():
        saving = ModelCheckpoint(tmp_path, monitor="val_loss", save_last=True)
        return trainer(max_epochs=2, callbacks=saving, enable_checkpointing=True)

    first, module = make(), seeded(Scheduled)
    first.fit(module, loader(), loader())
    [best] = first.validate(seeded(Scheduled, seed=5), loader(), ckpt_path="best", verbose=False)
    assert best["val_loss"] == pytest.approx(float(first.checkpoint_callback.best_model_score))
    assert first.ckpt_path == first.checkpoint_callback.best_model_path
    second = make()
    second.fit_loop.max_epochs = 3
    second.fit(seeded(Scheduled, seed=5), loader(), loader(), ckpt_path="last")
    assert second.global_step == 12


def test_a_path_that_leads_nowhere_is_said_before_anything_happens(tmp_path):
    fit = trainer(tmp_path, logger=True)
    with pytest.raises(FileNotFoundError, match="Checkpoint file not found"):
        fit.fit(Scheduled(), loader(), loader(), ckpt_path=tmp_path / "gone.ckpt")
    assert not (tmp_path / "lightning_logs").exists()
    with pytest.raises(ValueError, match='"best"'):
        trainer().test(Scheduled(), loader(), ckpt_path="best")
    with pytest.warns(UserWarning, match="no last checkpoint"):
        trainer().fit(Scheduled(), loader(), loader(), ckpt_path="last")


def test_a_file_that_is_cut_off_is_refused(tmp_path):
    fit = trainer()
    fit.fit(Scheduled(), loader(), loader())
    fit.save_checkpoint(path := tmp_path / "whole.ckpt")
    (cut := tmp_path / "cut.ckpt").write_bytes(path.read_bytes()[:-200])
    with pytest.raises(L.CheckpointCorruptError):
        trainer().fit(Scheduled(), loader(), loader(), ckpt_path=cut)


def test_weights_alone_can_not_resume_but_can_be_tested(tmp_path):
    fit = trainer()
    fit.fit(Scheduled(), loader(), loader())
    fit.save_checkpoint(path := tmp_path / "weights.ckpt", weights_only=True)
    with pytest.raises(L.MisconfigurationException, match="contains only the model"):
        trainer(max_epochs=2).fit(Scheduled(), loader(), loader(), ckpt_path=path)
    trainer().test(Scheduled(), loader(), ckpt_path=path, verbose=False)


def test_a_checkpoint_plugin_saves_and_loads_elsewhere():
    class Memory:
        files = {}

        def save_checkpoint(self, checkpoint, path, storage_options=None):
            self.files[str(path)] = (checkpoint, storage_options)

        def load_checkpoint(self, path, map_location=None):
            return self.files[str(path)][0]

        def remove_checkpoint(self, path):
            del self.files[str(path)]

    memory = Memory()
    fit = trainer(plugins=memory)
    fit.fit(Scheduled(), loader(), loader())
    fit.save_checkpoint("memory://a", storage_options={"b": 1})
    assert memory.files["memory://a"][1] == {"b": 1}
    again = trainer(plugins=memory, max_epochs=2)
    again.fit(Scheduled(), loader(), loader(), ckpt_path="memory://a")
    assert again.global_step == 8
    plain = trainer()
    plain.fit(Scheduled(), loader(), loader())
    with pytest.raises(TypeError, match="storage_options"):
        plain.save_checkpoint("x.ckpt", storage_options={})
