"""LightningCLI: what a person types, reads, and finds in the run's folder."""

from __future__ import annotations

import inspect
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

import lit_studio as L
from lit_studio.pytorch import Trainer
from lit_studio.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lit_studio.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from tests.unit.trainer.command_line_program import HERE, Head, Noting, Regressor, Rows, SquaredHead, Wide

QUIET = [
    "--trainer.max_epochs=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.accelerator=cpu",
]
SGD = ["--optimizer=SGD", "--optimizer.lr=0.01"]


@pytest.fixture(autouse=True)
def no_arguments(monkeypatch):
    """The test runner's own arguments are none of the program's, and its seeds stay in the test."""
    monkeypatch.setattr(sys, "argv", ["program.py"])
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def fit(*words, cls=LightningCLI, **options):
    return cls(Regressor, Rows, args=["fit", *QUIET, *SGD, *words], **options)


def prepare(*words, cls=LightningCLI, model=Regressor, data=Rows, **options):
    return cls(model, data, args=[*QUIET, *words], run=False, **options)


def config_of(cli):
    return yaml.safe_load((Path(cli.trainer.log_dir) / "config.yaml").read_text())


# Help and configuration ---------------------------------------------------------------------------------------------


def test_help_types_and_describes_every_argument_of_the_trainer(capsys):
    parser = LightningArgumentParser()
    parser.add_lightning_class_args(Trainer, "trainer")
    told = {action.dest: action for action in parser._actions if hasattr(action, "_typehint")}
    names = [f"trainer.{name}" for name in inspect.signature(Trainer).parameters]
    assert len(names) > 40
    assert [name for name in names if not told[name].help] == []
    assert [name for name in names if "Any" in str(told[name]._typehint).replace("dict[str, typing.Any]", "")] == []
    with pytest.raises(SystemExit) as ended:
        LightningCLI(Regressor, Rows, args=["fit", "--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--model.width WIDTH how many features there are. (type: int, default: 4)" in text
    assert "--data.count COUNT rows. (type: int, default: 16)" in text


@pytest.mark.parametrize("name", ["fit", "validate", "test", "predict"])
def test_the_subcommands_take_what_the_trainers_methods_take(capsys, name):
    with pytest.raises(SystemExit):
        LightningCLI(Regressor, Rows, args=[name, "--help"])
    text = capsys.readouterr().out
    assert "--ckpt_path CKPT_PATH" in text
    assert ("--verbose" in text) == (name in ("validate", "test"))
    assert "--model CONFIG" in text
    assert "--datamodule" not in text
    assert "dataloaders" not in text.replace("reload_dataloaders", "")


def test_print_config_prints_what_can_be_given_back(capsys, tmp_path):
    words = ["fit", *QUIET, *SGD, "--model.head=SquaredHead", "--trainer.callbacks+=EarlyStopping"]
    with pytest.raises(SystemExit):
        LightningCLI(Regressor, Rows, args=[*words, "--trainer.callbacks.monitor=loss", "--print_config"])
    text = capsys.readouterr().out
    assert text.startswith("# lit_studio.pytorch==")
    printed = yaml.safe_load(text)
    (stopping,) = printed["trainer"]["callbacks"]
    assert stopping["class_path"] == "lit_studio.pytorch.callbacks.EarlyStopping"
    assert stopping["init_args"]["monitor"] == "loss"
    assert printed["model"]["head"]["class_path"] == f"{HERE}.SquaredHead"
    (tmp_path / "all.yaml").write_text(text)
    cli = LightningCLI(Regressor, Rows, args=["fit", "--config", str(tmp_path / "all.yaml")])
    assert isinstance(cli.model.head, SquaredHead)
    assert any(isinstance(callback, EarlyStopping) for callback in cli.trainer.callbacks)
    assert {**config_of(cli), "seed_everything": True} == printed


def test_several_files_are_merged_and_words_win(tmp_path):
    (tmp_path / "one.yaml").write_text("trainer: {max_epochs: 3, max_steps: 5}\nmodel: {width: 2}\ndata: {width: 2}\n")
    (tmp_path / "two.json").write_text(json.dumps({"trainer": {"max_steps": 6}, "model": {"width": 3}}))
    files = ["-c", str(tmp_path / "one.yaml"), "--config", str(tmp_path / "two.json")]
    cli = LightningCLI(Regressor, Rows, args=[*files, "--model.width=7"], run=False)
    assert (cli.trainer.max_epochs, cli.trainer.max_steps, cli.model.width, cli.datamodule.width) == (3, 6, 7, 2)


def test_a_file_may_hold_the_parts_of_all_subcommands(tmp_path):
    quiet = {"max_epochs": 1, "enable_progress_bar": False, "enable_model_summary": False, "limit_test_batches": 1}
    both = {"fit": {"trainer": {**quiet, "max_steps": 1}}, "test": {"trainer": quiet}}
    (tmp_path / "both.yaml").write_text(yaml.safe_dump(both))
    cli = LightningCLI(Regressor, Rows, args=["--config", str(tmp_path / "both.yaml"), "test"])
    assert cli.subcommand == "test"
    assert cli.trainer.limit_test_batches == 1
    assert (cli.trainer.max_steps, cli.trainer.state.fn) == (-1, "test")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["fit", "--trainer.max_epochs=many"], "trainer.max_epochs"),
        (["fit", "--trainer.precision=17"], "trainer.precision"),
        (["fit", "--model.depth=3"], "model.depth"),
        (["fit", "--trainer.callbacks+=NoSuchCallback"], "NoSuchCallback"),
        (["train"], "train"),
    ],
)
def test_wrong_words_end_with_status_2_and_say_which(capsys, words, told):
    with pytest.raises(SystemExit) as ended:
        LightningCLI(Regressor, Rows, args=words)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_arguments_may_be_a_configuration():
    options = {"max_steps": 4, "enable_progress_bar": False}
    cli = LightningCLI(Regressor, Rows, args={"trainer": options, "model": {"width": 3}}, run=False)
    assert (cli.trainer.max_steps, cli.model.width) == (4, 3)


def test_words_of_the_process_and_args_together_are_warned_of(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["program.py", "--model.width=5"])
    with pytest.warns(UserWarning, match="LightningCLI's args parameter is intended to run from within Python"):
        cli = prepare("--model.width=6")
    assert cli.model.width == 6


def test_the_environment_counts_if_asked(monkeypatch):
    monkeypatch.setenv("PL_FIT__TRAINER__MAX_STEPS", "1")
    monkeypatch.setenv("PL_FIT__MODEL__WIDTH", "4")
    cli = LightningCLI(Regressor, Rows, args=["fit", *QUIET, *SGD], parser_kwargs={"default_env": True})
    assert cli.trainer.global_step == 1
    other = fit()
    assert other.trainer.global_step == 2


def test_parsers_of_subcommands_have_arguments_of_their_own(tmp_path):
    (tmp_path / "defaults.yaml").write_text("model: {width: 9}\n")
    kwargs = {"fit": {"default_config_files": [str(tmp_path / "defaults.yaml")]}, "test": {"description": "of tests"}}

    class Idle(LightningCLI):
        def fit(self, **kwargs):
            pass

        def test(self, **kwargs):
            pass

    assert Idle(Regressor, Rows, args=["fit"], parser_kwargs=kwargs).model.width == 9
    cli = Idle(Regressor, Rows, args=["test"], parser_kwargs=kwargs)
    assert cli.model.width == 4
    assert cli._subcommand_parsers["test"].description == "of tests"


# The run's folder ---------------------------------------------------------------------------------------------------


def test_a_fit_keeps_its_configuration_beside_its_logs():
    cli = fit("--model.head=SquaredHead", "--seed_everything=7")
    kept = config_of(cli)
    assert kept["seed_everything"] == 7
    assert kept["optimizer"]["class_path"] == "torch.optim.SGD"
    assert kept["model"]["head"] == {"class_path": f"{HERE}.SquaredHead", "init_args": {"bias": True, "features": 4}}
    assert kept["data"] == {"width": 4, "count": 16}
    assert (cli.trainer.global_step, cli.trainer.state.status) == (2, "finished")


def test_a_configuration_is_not_overwritten_unless_allowed(tmp_path):
    logger = ["--trainer.logger=false", f"--trainer.default_root_dir={tmp_path}"]
    fit(*logger)
    with pytest.raises(
        RuntimeError, match=r"SaveConfigCallback expected .*config.yaml to NOT exist. Aborting to avoid"
    ):
        fit(*logger)
    fit(*logger, "--data.count=8", save_config_kwargs={"overwrite": True, "config_filename": "config.yaml"})
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["data"]["count"] == 8
    fit(*logger, save_config_callback=None)
    fit(*logger, "--trainer.fast_dev_run=1")


def test_the_division_into_files_can_be_kept(tmp_path):
    (tmp_path / "model.yaml").write_text("width: 4\n")
    (tmp_path / "all.yaml").write_text("model: model.yaml\n")
    cli = fit("--config", str(tmp_path / "all.yaml"), save_config_kwargs={"multifile": True})
    folder = Path(cli.trainer.log_dir)
    assert config_of(cli)["model"] == "model.yaml"
    assert yaml.safe_load((folder / "model.yaml").read_text())["width"] == 4


def test_a_configuration_can_be_kept_elsewhere():
    kept = []

    class Elsewhere(SaveConfigCallback):
        def save_config(self, trainer, pl_module, stage):
            kept.append((stage, self.parser.dump(self.config)))

    cli = fit(save_config_callback=Elsewhere, save_config_kwargs={"save_to_log_dir": False})
    assert not (Path(cli.trainer.log_dir) / "config.yaml").exists()
    cli.trainer.validate(cli.model, cli.datamodule, verbose=False)
    ((stage, text),) = kept
    assert (stage, yaml.safe_load(text)["data"]["count"]) == ("fit", 16)
    with pytest.raises(ValueError, match="only makes sense when subclassing SaveConfigCallback"):
        SaveConfigCallback(cli.parser, cli.config, save_to_log_dir=False)


@pytest.mark.parametrize(("given", "default", "seed"), [(["11"], True, 11), (["false"], 5, None), ([], 5, 5)])
def test_seeds(given, default, seed):
    cli = prepare(*[f"--seed_everything={word}" for word in given], seed_everything_default=default)
    assert os.environ.get("PL_GLOBAL_SEED") == (None if seed is None else str(seed))
    assert cli.config["seed_everything"] == (False if seed is None else seed)


def test_the_seed_comes_before_the_model():
    first = prepare("--seed_everything=3").model.head.layer.weight
    assert torch.equal(first, prepare("--seed_everything=3").model.head.layer.weight)
    assert not torch.equal(first, prepare("--seed_everything=4").model.head.layer.weight)


# Classes ------------------------------------------------------------------------------------------------------------


def test_subclasses_may_be_chosen():
    words = ["--model=Wide", "--model.scale=2", "--data=Rows", "--data.width=8"]
    cli = prepare(*words, subclass_mode_model=True, subclass_mode_data=True)
    assert (type(cli.model), cli.model.scale, cli.datamodule.width) == (Wide, 2.0, 8)
    free = LightningCLI(args=[*QUIET, f"--model={HERE}.Wide", f"--data={HERE}.Rows"], run=False)
    assert (type(free.model), type(free.datamodule)) == (Wide, Rows)
    alone = LightningCLI(args=[*QUIET, f"--model={HERE}.Wide"], run=False)
    assert alone.datamodule is None


def test_functions_may_make_the_objects():
    def make(depth: int = 2) -> Regressor:
        return Regressor(width=2 * depth)

    def train(max_epochs: int = 3, callbacks: list[L.Callback] | None = None) -> Trainer:
        return Trainer(max_epochs=max_epochs, callbacks=callbacks, logger=False)

    cli = LightningCLI(make, Rows, trainer_class=train, args=["--model.depth=4", "--trainer.max_epochs=2"], run=False)
    assert (cli.model.width, cli.trainer.max_epochs) == (8, 2)
    assert cli.model.hparams == {"head": None, "width": 8}


def test_a_trainer_without_callbacks_is_warned_of():
    class Bare(Trainer):
        def __init__(self, max_epochs: int = 2):
            super().__init__(max_epochs=max_epochs, logger=False)

    with pytest.warns(UserWarning, match="class does not expose the `callbacks` argument"):
        cli = LightningCLI(Regressor, Rows, trainer_class=Bare, args=["--trainer.max_epochs=1"], run=False)
    assert cli.trainer.max_epochs == 1


@pytest.mark.parametrize(
    "always",
    [
        Noting("always"),
        [Noting("always")],
        lambda: Noting("always"),
        {"class_path": f"{HERE}.Noting", "init_args": {"word": "always"}},
    ],
    ids=["one", "list", "function", "described"],
)
def test_the_trainers_defaults(always):
    defaults = {"max_epochs": 9, "logger": False, "callbacks": always}
    cli = LightningCLI(Regressor, Rows, trainer_defaults=defaults, args=["--trainer.callbacks=Noting"], run=False)
    assert (cli.trainer.max_epochs, cli.trainer.loggers) == (9, [])
    assert [one.word for one in cli.trainer.callbacks if isinstance(one, Noting)] == ["nothing", "always"]


def test_loggers_and_profilers_have_short_names(tmp_path):
    words = ["--trainer.logger=CSVLogger", f"--trainer.logger.save_dir={tmp_path}", "--trainer.profiler=simple"]
    cli = prepare(*words)
    assert cli.trainer.log_dir.startswith(str(tmp_path))
    assert type(cli.trainer.profiler).__name__ == "SimpleProfiler"
    both = prepare(
        "--trainer.logger+=CSVLogger", f"--trainer.logger.save_dir={tmp_path}", "--trainer.logger+=DummyLogger"
    )
    assert [type(one).__name__ for one in both.trainer.loggers] == ["CSVLogger", "DummyLogger"]


def test_what_keeps_the_configuration_can_go_to_another_process(tmp_path):
    cli = fit()
    (saver,) = (one for one in cli.trainer.callbacks if isinstance(one, SaveConfigCallback))
    elsewhere = pickle.loads(pickle.dumps(saver))
    assert elsewhere.parser.dump(elsewhere.config) == saver.parser.dump(saver.config)


def test_a_trainer_can_be_made_again():
    cli = prepare("--trainer.callbacks=Noting")
    again = cli.instantiate_trainer(max_epochs=4)
    assert again.max_epochs == 4
    for trainer in (cli.trainer, again):
        assert [type(one).__name__ for one in trainer.callbacks].count("SaveConfigCallback") == 1
        assert [type(one).__name__ for one in trainer.callbacks].count("Noting") == 1


# Programs that extend it --------------------------------------------------------------------------------------------


class Extended(LightningCLI):
    def add_arguments_to_parser(self, parser):
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.set_defaults({"checkpoint.monitor": "loss", "checkpoint.save_top_k": 2})
        parser.add_argument("--note", default="none")
        parser.link_arguments("data.width", "model.width")

    def before_fit(self):
        self.seen = [("before", self.config["fit"]["note"], self.trainer.global_step)]

    def after_fit(self):
        self.seen.append(("after", self.config["fit"]["note"], self.trainer.global_step))


def test_arguments_callbacks_links_and_hooks_of_its_own():
    cli = fit("--note=hello", "--data.width=6", cls=Extended)
    assert cli.seen == [("before", "hello", 0), ("after", "hello", 2)]
    assert cli.trainer.checkpoint_callback.save_top_k == 2
    assert cli.model.width == 6
    assert config_of(cli)["checkpoint"]["save_top_k"] == 2


def test_a_link_may_wait_for_the_object():
    class Waiting(LightningCLI):
        def add_arguments_to_parser(self, parser):
            parser.link_arguments("data.doubled", "model.width", apply_on="instantiate")

    cli = prepare("--data.width=5", cls=Waiting)
    assert (cli.model.width, cli.model.hparams["width"]) == (10, 10)


def test_a_subcommand_of_ones_own():
    class Looking(Trainer):
        def look(self, model, times: int = 1):
            """Look at the model.

            Args:
                times: how often.
            """
            self.looked = [type(model).__name__] * times

    class Looker(LightningCLI):
        @staticmethod
        def subcommands():
            return {**LightningCLI.subcommands(), "look": {"model"}}

    cli = Looker(Regressor, trainer_class=Looking, args=["look", "--times=2"], save_config_callback=None)
    assert cli.trainer.looked == ["Regressor", "Regressor"]


def test_what_comes_before_and_after_the_objects():
    class Changing(LightningCLI):
        def before_instantiate_classes(self):
            self.config["model"]["width"] = 12

        def after_instantiate_classes(self):
            self.after = self.model.width

    assert prepare(cls=Changing).after == 12


def test_only_our_classes_can_be_added():
    with pytest.raises(L.MisconfigurationException, match=r"Cannot add arguments from: .*Head"):
        LightningArgumentParser().add_lightning_class_args(Head, "head")
    with pytest.raises(TypeError, match="Cannot add 'optimizer' arguments"):
        LightningArgumentParser().add_optimizer_args(Head)


# Without jsonargparse -----------------------------------------------------------------------------------------------


def test_without_jsonargparse_the_extra_is_named():
    code = (
        "import sys; sys.modules['jsonargparse'] = None\n"
        "from lit_studio.pytorch.cli import LightningCLI, LightningArgumentParser\n"
        "for make in (LightningCLI, LightningArgumentParser):\n"
        "    try: make()\n"
        "    except ImportError as error: print(type(error).__name__, str(error).replace(chr(10), ' '))\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(told) == 2
    for line in told:
        assert line.startswith("MissingDependencyError LightningCLI needs the package 'jsonargparse[signatures]'")
        assert "pip install 'lit-studio[cli]'" in line


def test_jsonargparse_is_loaded_only_by_who_needs_it():
    code = "import sys, lit_studio.pytorch, lit_studio.fabric; print('jsonargparse' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
