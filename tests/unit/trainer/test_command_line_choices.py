"""LightningCLI: optimizers and schedulers by name, and modules that a checkpoint makes again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

import lit_studio as L
from lit_studio.pytorch.cli import LightningCLI, ReduceLROnPlateau, instantiate_class
from tests.unit.trainer.command_line_program import HERE, Linked, OwnOptimizer, Part, Regressor, Rows, SquaredHead, Wide

PEERS = Path(__file__).parents[3] / ".venv-peers" / "bin" / "python"
LIGHTNINGS_NAME = "lightning.pytorch.cli.instantiate_module"
QUIET = [
    "--trainer.max_epochs=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.accelerator=cpu",
]


@pytest.fixture(autouse=True)
def no_arguments(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["program.py"])
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def fit(*words, cls=LightningCLI, model=Regressor, **options):
    return cls(model, Rows, args=["fit", *QUIET, *words], **options)


def prepare(*words, cls=LightningCLI, model=Regressor, **options):
    return cls(model, Rows, args=[*QUIET, *words], run=False, **options)


def checkpoint_of(cli):
    (path,) = Path(cli.trainer.log_dir, "checkpoints").glob("*.ckpt")
    return path


# Optimizers ---------------------------------------------------------------------------------------------------------


def test_optimizer_and_scheduler_by_name():
    words = ["--optimizer=Adam", "--optimizer.lr=0.5", "--lr_scheduler=StepLR", "--lr_scheduler.step_size=1"]
    cli = fit(*words)
    optimizer = cli.trainer.optimizers[0]
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.param_groups[0]["initial_lr"] == 0.5
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)


def test_a_plateau_watches_its_monitor():
    words = ["--optimizer=SGD", "--optimizer.lr=0.1", "--lr_scheduler=ReduceLROnPlateau", "--lr_scheduler.monitor=loss"]
    cli = fit(*words)
    (config,) = cli.trainer.lr_scheduler_configs
    assert type(config.scheduler) is ReduceLROnPlateau
    assert (config.monitor, config.reduce_on_plateau) == ("loss", True)


def test_without_a_choice_the_model_decides():
    cli = prepare(model=OwnOptimizer)
    assert type(cli.model.configure_optimizers()["optimizer"]) is torch.optim.SGD


def test_a_choice_replaces_the_models_own_with_a_warning():
    told = r"`OwnOptimizer.configure_optimizers` will be overridden by `LightningCLI.configure_optimizers`"
    with pytest.warns(UserWarning, match=told):
        cli = prepare("--optimizer=Adam", "--optimizer.lr=0.1", model=OwnOptimizer)
    assert type(cli.model.configure_optimizers()) is torch.optim.Adam


def test_one_class_of_each_without_naming_it():
    class Fixed(LightningCLI):
        def add_arguments_to_parser(self, parser):
            parser.add_optimizer_args(torch.optim.Adam)
            parser.add_lr_scheduler_args(torch.optim.lr_scheduler.ExponentialLR)

    cli = prepare("--optimizer.lr=0.3", "--lr_scheduler.gamma=0.2", cls=Fixed)
    (optimizer,), (scheduler,) = cli.model.configure_optimizers()
    assert (type(optimizer), optimizer.param_groups[0]["lr"], scheduler.gamma) == (torch.optim.Adam, 0.3, 0.2)


def test_what_is_returned_can_be_changed():
    class Monthly(LightningCLI):
        @staticmethod
        def configure_optimizers(lightning_module, optimizer, lr_scheduler=None):
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": lr_scheduler, "interval": "step"}}

    words = ["--optimizer=SGD", "--optimizer.lr=1", "--lr_scheduler=ExponentialLR", "--lr_scheduler.gamma=0.5"]
    cli = fit(*words, cls=Monthly)
    assert cli.trainer.optimizers[0].param_groups[0]["lr"] == 0.25


@pytest.mark.parametrize("fixed", [True, False])
def test_choices_linked_to_arguments_of_the_model(fixed):
    class Linking(LightningCLI):
        def add_arguments_to_parser(self, parser):
            optimizer = torch.optim.Adam if fixed else (torch.optim.Optimizer,)
            parser.add_optimizer_args(optimizer, nested_key="gen.optim", link_to="model.optimizer")
            parser.add_lr_scheduler_args(
                torch.optim.lr_scheduler.ConstantLR if fixed else (torch.optim.lr_scheduler.LRScheduler,),
                nested_key="gen.sched",
                link_to="model.scheduler",
            )

    words = ["--gen.optim.lr=0.2", "--gen.sched.factor=0.5"]
    named = [] if fixed else ["--gen.optim=Adam", "--gen.sched=ConstantLR"]
    cli = prepare(*named, *words, cls=Linking, model=Linked, auto_configure_optimizers=False)
    assert cli.model.described[0]["class_path"].endswith(".Adam")
    (optimizer,), (scheduler,) = cli.model.configure_optimizers()
    assert (type(optimizer), optimizer.param_groups[0]["initial_lr"], scheduler.factor) == (torch.optim.Adam, 0.2, 0.5)


def test_two_automatic_optimizers_are_one_too_many():
    class Two(LightningCLI):
        def add_arguments_to_parser(self, parser):
            parser.add_optimizer_args(torch.optim.Adam, nested_key="first")
            parser.add_optimizer_args(torch.optim.SGD, nested_key="second")

    with pytest.raises(
        L.MisconfigurationException, match="at most one optimizer and one lr_scheduler to be 'AUTOMATIC'"
    ):
        prepare("--first.lr=1", "--second.lr=1", cls=Two)


def test_a_model_may_take_what_makes_its_optimizer():
    words = ["--model.optimizer=Adam", "--model.optimizer.lr=0.2", "--model.scheduler=StepLR"]
    words += ["--model.scheduler.step_size=50"]
    cli = prepare(*words, model=OwnOptimizer, auto_configure_optimizers=False)
    configured = cli.model.configure_optimizers()
    assert configured["optimizer"].param_groups[0]["lr"] == 0.2
    assert configured["lr_scheduler"].step_size == 50


def test_instantiate_class():
    made = instantiate_class((2, 3), {"class_path": "torch.nn.Linear", "init_args": {"bias": False}})
    assert (made.in_features, made.out_features, made.bias) == (2, 3, None)


# Checkpoints --------------------------------------------------------------------------------------------------------

SGD = ["--optimizer=SGD", "--optimizer.lr=0.01"]
SQUARED = {"class_path": f"{HERE}.SquaredHead", "init_args": {"features": 4, "bias": False}}
CHOSEN = ["--model.head=SquaredHead", "--model.head.bias=false"]


def test_nested_objects_come_back_from_a_checkpoint():
    cli = fit(*SGD, *CHOSEN)
    assert cli.model.hparams == {"head": SQUARED, "width": 4, "_instantiator": LIGHTNINGS_NAME}
    assert cli.model.inner.hparams == {"hidden": 3}
    logged = yaml.safe_load(Path(cli.trainer.log_dir, "hparams.yaml").read_text())
    assert logged["head"] == SQUARED
    loaded = Regressor.load_from_checkpoint(checkpoint_of(cli))
    assert isinstance(loaded.head, SquaredHead)
    assert loaded.head.layer.bias is None
    assert torch.equal(loaded.head.layer.weight, cli.model.head.layer.weight)
    assert loaded.hparams == cli.model.hparams


def test_the_chosen_subclass_comes_back_from_a_checkpoint():
    cli = fit(*SGD, "--model=Wide", "--model.scale=3", "--data.width=8", subclass_mode_model=True)
    assert cli.model.hparams["_class_path"] == f"{HERE}.Wide"
    assert "_class_path" not in yaml.safe_load(Path(cli.trainer.log_dir, "hparams.yaml").read_text())
    loaded = L.LightningModule.load_from_checkpoint(checkpoint_of(cli))
    assert (type(loaded), loaded.scale, loaded.width) == (Wide, 3.0, 8)


def test_a_module_that_is_an_argument_keeps_its_own():
    words = [f"--model={HERE}.Outer", f"--model.part={HERE}.Part", "--model.part.hidden=9", "--data=Rows"]
    cli = LightningCLI(args=["fit", *QUIET, *SGD, *words], subclass_mode_data=True)
    assert cli.model.part.hparams == {"hidden": 9}
    assert cli.model.hparams["part"] == {"class_path": f"{HERE}.Part", "init_args": {"hidden": 9}}
    loaded = L.LightningModule.load_from_checkpoint(checkpoint_of(cli))
    assert (type(loaded.part), loaded.part.hparams) == (Part, {"hidden": 9})
    assert loaded.hparams == cli.model.hparams


def test_without_support_the_arguments_are_kept_as_they_are():
    cli = prepare("--model.width=3", load_from_checkpoint_support=False)
    assert cli.model.hparams == {"head": None, "width": 3}


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_a_checkpoint_path_brings_its_hyper_parameters(capsys):
    first = fit(*SGD, *CHOSEN)
    capsys.readouterr()
    path = str(checkpoint_of(first))
    cli = LightningCLI(Regressor, Rows, args=["test", *QUIET, f"--ckpt_path={path}"])
    assert isinstance(cli.model.head, SquaredHead)
    assert cli.config["test"]["model"]["head"]["init_args"]["bias"] is False
    assert torch.equal(cli.model.head.layer.weight, first.model.head.layer.weight)


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_a_checkpoint_of_a_chosen_subclass_brings_its_class():
    first = fit(*SGD, "--model=Wide", "--model.scale=3", "--data.width=8", subclass_mode_model=True)
    words = ["predict", *QUIET, f"--model={HERE}.Wide", "--data.width=8", f"--ckpt_path={checkpoint_of(first)}"]
    cli = LightningCLI(Regressor, Rows, args=words, subclass_mode_model=True)
    assert (type(cli.model), cli.model.scale) == (Wide, 3.0)


def test_hyper_parameters_that_do_not_fit_say_so(tmp_path, capsys):
    torch.save({"hyper_parameters": {"depth": 3}, "state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(SystemExit) as ended:
        LightningCLI(Regressor, Rows, args=["test", *QUIET, f"--ckpt_path={tmp_path / 'other.ckpt'}"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "Parsing of ckpt_path hyperparameters failed!" in told
    assert "depth" in told


def test_a_file_runs_no_function_of_its_choice(tmp_path):
    path = tmp_path / "hostile.ckpt"
    state = {"state_dict": Part(hidden=2).state_dict()}
    torch.save({**state, "hyper_parameters": {"_instantiator": "os.system", "hidden": 2}}, path)
    assert Part.load_from_checkpoint(path).hparams["hidden"] == 2


def test_names_that_lightning_wrote_are_found_here(tmp_path):
    cli = fit(*SGD, "--trainer.callbacks=Noting")
    path = tmp_path / "theirs.ckpt"
    checkpoint = torch.load(checkpoint_of(cli))
    hidden = {"_class_path": "lightning.pytorch.demos.boring_classes.DemoModel", "out_dim": 3, "learning_rate": 0.5}
    checkpoint["hyper_parameters"] = {**hidden, "_instantiator": LIGHTNINGS_NAME}
    checkpoint["state_dict"] = {"l1.weight": torch.zeros(3, 32), "l1.bias": torch.zeros(3)}
    torch.save(checkpoint, path)
    loaded = L.LightningModule.load_from_checkpoint(path)
    assert (type(loaded).__name__, loaded.learning_rate) == ("DemoModel", 0.5)


# Beside Lightning ---------------------------------------------------------------------------------------------------

PROGRAM = """
import sys
import torch
from torch.utils.data import DataLoader
import lightning.pytorch as pl
from lightning.pytorch.cli import LightningCLI

class Net(pl.LightningModule):
    def __init__(self, width: int = 4, act: torch.nn.Module = None, rates: list[float] = [0.1]):
        super().__init__()
        self.save_hyperparameters()
        self.layer, self.act = torch.nn.Linear(4, width), act
    def training_step(self, batch, batch_idx):
        return self.act(self.layer(batch)).square().mean()
    test_step = training_step
    def train_dataloader(self):
        return DataLoader(torch.ones(8, 4), batch_size=4)
    test_dataloader = train_dataloader

if __name__ == "__main__":
    if sys.argv[1] == "load":
        net = Net.load_from_checkpoint(sys.argv[2])
        print(net.hparams.width, net.act, net.layer.weight.sum().item())
    else:
        LightningCLI(Net)
"""


@pytest.mark.slow
@pytest.mark.skipif(not PEERS.exists(), reason="no peers' environment: make bench-peers")
def test_the_same_program_under_lightning_writes_and_reads_the_same(tmp_path):
    (tmp_path / "theirs.py").write_text(PROGRAM)
    (tmp_path / "ours.py").write_text(PROGRAM.replace("lightning.pytorch", "lit_studio.pytorch"))
    words = [
        "fit",
        *QUIET,
        "--trainer.logger=CSVLogger",
        "--model.act=torch.nn.LeakyReLU",
        "--model.act.negative_slope=0.5",
    ]
    words += ["--optimizer=Adam", "--optimizer.lr=0.05", "--lr_scheduler=StepLR", "--lr_scheduler.step_size=1"]
    words += ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=x", "--trainer.callbacks.strict=false"]
    interpreters = {"theirs": str(PEERS), "ours": sys.executable}

    def run(side, *arguments, cwd=tmp_path):
        command = [interpreters[side], "-W", "ignore", str(tmp_path / f"{side}.py"), *arguments]
        environment = {**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1"}
        told = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=200, env=environment)
        assert told.returncode == 0, told.stderr
        return told.stdout

    folders = {}
    for side in interpreters:
        (tmp_path / side).mkdir()
        run(side, *words, f"--trainer.logger.save_dir={tmp_path / side}", "--seed_everything=3")
        folders[side] = tmp_path / side / "lightning_logs" / "version_0"
    kept = {}
    for side, folder in folders.items():
        text = (folder / "config.yaml").read_text().replace("lit_studio.pytorch", "lightning.pytorch")
        kept[side] = yaml.safe_load(text.replace(str(tmp_path / side), ""))
    for name in ("observers", "compile", "capture_step"):
        del kept["ours"]["trainer"][name]
    assert kept["ours"] == kept["theirs"]
    hparams = {side: yaml.safe_load((folder / "hparams.yaml").read_text()) for side, folder in folders.items()}
    assert hparams["ours"] == hparams["theirs"]
    (theirs,), (ours,) = (list((folders[side] / "checkpoints").iterdir()) for side in ("theirs", "ours"))
    assert ours.name == theirs.name
    for path in (ours, theirs):
        read = run("ours", "load", str(path))
        assert read.startswith("4 LeakyReLU(negative_slope=0.5) ")
        assert run("theirs", "load", str(path)) == read
    run("ours", "test", *QUIET, "--trainer.logger=false", f"--ckpt_path={theirs}")
