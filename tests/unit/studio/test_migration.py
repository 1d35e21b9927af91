"""Bringing code written for Lightning here: which names are replaced, which are told to be missing."""

from __future__ import annotations

import importlib
import inspect
import json

import nbformat
import pytest

from lit_studio.base.errors import InvalidValueError, PathNotFoundError
from lit_studio.studio.migration import migrate, migrate_file, reasons, renaming, surface, write


@pytest.fixture
def after(tmp_path):
    """What becomes of a Python source."""

    def run(source):
        path = tmp_path / "program.py"
        path.write_text(source)
        return migrate_file(path).data.decode()

    return run


@pytest.fixture
def told(tmp_path):
    """What a person must look at in a Python source: ``(line, name)``."""

    def run(source):
        path = tmp_path / "program.py"
        path.write_text(source)
        return [(finding.line, finding.name) for finding in migrate_file(path).findings]

    return run


# Names --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("import lightning as L\n", "import lit_studio as L\n"),
        ("import lightning.pytorch as pl\n", "import lit_studio.pytorch as pl\n"),
        ("import pytorch_lightning as pl\n", "import lit_studio.pytorch as pl\n"),
        ("import os, lightning.fabric as lf # why\n", "import os, lit_studio.fabric as lf # why\n"),
        ("from lightning import Trainer, pytorch as pl\n", "from lit_studio import Trainer, pytorch as pl\n"),
        ("from   lightning.pytorch . callbacks import *\n", "from   lit_studio.pytorch . callbacks import *\n"),
        ("from lightning_fabric import Fabric\n", "from lit_studio.fabric import Fabric\n"),
        (
            "from pytorch_lightning.loggers import (\n    CSVLogger,  # plain\n)\n",
            "from lit_studio.pytorch.loggers import (\n    CSVLogger,  # plain\n)\n",
        ),
        (
            "import lightning\nmodel = lightning . LightningModule()\n",
            "import lit_studio\nmodel = lit_studio . LightningModule()\n",
        ),
        (
            "import pytorch_lightning\nprint(f'é {pytorch_lightning.Trainer}')\n",
            "import lit_studio.pytorch\nprint(f'é {lit_studio.pytorch.Trainer}')\n",
        ),
        ("patch('lightning.pytorch.Trainer.fit')\n", "patch('lit_studio.pytorch.Trainer.fit')\n"),
        ('importlib.import_module("pytorch_lightning")\n', 'importlib.import_module("lit_studio.pytorch")\n'),
        ("pytest.importorskip('lightning')\n", "pytest.importorskip('lit_studio')\n"),
        (
            'logging.getLogger("lightning.pytorch").disabled = True\n',
            'logging.getLogger("lit_studio").disabled = True\n',
        ),
        ("def f(t: 'lightning.pytorch.Trainer'): ...\n", "def f(t: 'lit_studio.pytorch.Trainer'): ...\n"),
        ("if 1:\n\timport lightning as L\x0c\n", "if 1:\n\timport lit_studio as L\x0c\n"),
        ("try:\r\n    import lightning as L\r\nfinally: 0\r\n", "try:\r\n    import lit_studio as L\r\nfinally: 0\r\n"),
    ],
)
def test_what_is_replaced(tmp_path, before, expected):
    path = tmp_path / "program.py"
    path.write_bytes(before.encode())
    done = migrate_file(path)
    assert done.data.decode() == expected
    path.write_bytes(done.data)
    again = migrate_file(path)
    assert (again.changed, again.diff()) == (False, "")


@pytest.mark.parametrize(
    "source",
    [
        "import lightning_utilities, torchmetrics, litdata\n",
        "from .lightning import thunder\n",
        "import lightningcss\n",
        "# import lightning as L\n",
        '"""Uses lightning.pytorch.Trainer."""\n',
        "site = 'lightning.ai'; word = 'lightning'; file = 'lightning.pytorch/x'; logs = 'lightning_logs'\n",
        "lightning = storm()\nlightning.strike()\n",
        "x = 'see lightning.pytorch.Trainer for more'\n",
    ],
)
def test_what_stays(after, source):
    assert after(source) == source


def test_a_name_that_means_two_things_is_left_to_the_person(tmp_path):
    path = tmp_path / "program.py"
    path.write_text("import lightning\n\ndef f(lightning):\n    return lightning.x\n")
    done = migrate_file(path)
    assert done.data.decode().startswith("import lit_studio\n")
    assert "return lightning.x" in done.data.decode()
    assert [(finding.line, finding.name) for finding in done.findings] == [(3, "lightning")]


def test_encodings_and_marks_are_kept(tmp_path):
    path = tmp_path / "latin.py"
    path.write_bytes("# -*- coding: latin-1 -*-\nimport lightning as L  # é\n".encode("latin-1"))
    assert migrate_file(path).data == "# -*- coding: latin-1 -*-\nimport lit_studio as L  # é\n".encode("latin-1")
    path.write_bytes(b"\xef\xbb\xbfimport lightning as L\n")
    assert migrate_file(path).data == b"\xef\xbb\xbfimport lit_studio as L\n"


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (
            "class_path: lightning.pytorch.callbacks.EarlyStopping\n",
            "class_path: lit_studio.pytorch.callbacks.EarlyStopping\n",
        ),
        (
            "- _target_: pytorch_lightning.Trainer # the trainer\n",
            "- _target_: lit_studio.pytorch.Trainer # the trainer\n",
        ),
        ("_target_: 'lightning.Trainer'\n", "_target_: 'lit_studio.Trainer'\n"),
        ("dir: lightning_logs/lightning.pytorch\n", "dir: lightning_logs/lightning.pytorch\n"),
        ("# class_path: lightning.pytorch.X\n", "# class_path: lightning.pytorch.X\n"),
        ("url: https://lightning.ai/lightning.pytorch.X\n", "url: https://lightning.ai/lightning.pytorch.X\n"),
        ('name = "lightning"\n', 'name = "lightning"\n'),
    ],
)
def test_configurations(tmp_path, before, expected):
    path = tmp_path / "config.yaml"
    path.write_text(before)
    assert migrate_file(path).data.decode() == expected
    assert renaming.in_configuration(expected) == expected


def test_requirements_are_advice(tmp_path):
    (tmp_path / "requirements.txt").write_text(
        "torch\nlightning[extra]>=2.2  # train\npytorch_lightning==2.1\nlightning-utilities\n"
    )
    project = '[project]\nname = "lightning-fast"\ndependencies = [\n  "lightning>=2",\n]\n[tool.lightning]\nx = 1\n'
    (tmp_path / "pyproject.toml").write_text(project)
    found = {one.path.name: one for one in migrate(tmp_path)}
    assert [f.line for f in found["requirements.txt"].findings] == [2, 3]
    assert [f.line for f in found["pyproject.toml"].findings] == [4]
    assert all(f.kind == "advice" for one in found.values() for f in one.findings)
    assert not any(one.changed or one.unsupported for one in found.values())


# What is missing ----------------------------------------------------------------------------------------------------


def test_missing_names_are_told_where_they_are_used(told):
    source = (
        "import lightning as L\n"
        "import lightning.pytorch as pl\n"
        "from pytorch_lightning.callbacks import (\n"
        "    EarlyStopping,\n"
        "    Nonexistent,\n"
        ")\n"
        "from lightning.pytorch.accelerators import XLAAccelerator\n"
        "from lightning.pytorch.nowhere import x\n"
        "import lightning.app\n"
        "pl.callbacks.ModelCheckpoint(), L.pytorch.callbacks.Other, pl._inside, L.Trainer().whatever.x\n"
    )
    assert told(source) == [
        (5, "lightning.pytorch.callbacks.Nonexistent"),
        (7, "lightning.pytorch.accelerators.XLAAccelerator"),
        (8, "lightning.pytorch.nowhere"),
        (9, "lightning.app"),
        (10, "lightning.pytorch._inside"),
        (10, "lightning.pytorch.callbacks.Other"),
    ]


def test_each_reason_has_advice(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(
        "import lightning.pytorch as pl, lightning_sdk, pl_bolts\n"
        "from lightning.pytorch.loggers import NeptuneLogger\n"
        "pl.Trainer(accelerator='tpu', gpus=1, banana=2, model_registry='m', **more)\n"
        "class M(pl.LightningModule):\n"
        "    def validation_epoch_end(self, outputs): ...\n"
        "    def training_step(self, batch, batch_idx, optimizer_idx): ...\n"
        "class Other:\n"
        "    def validation_epoch_end(self, outputs): ...\n"
    )
    found = migrate_file(path).findings
    assert [(one.line, one.name) for one in found] == [
        (1, "lightning_sdk"),
        (1, "pl_bolts"),
        (2, "lightning.pytorch.loggers.NeptuneLogger"),
        (3, "Trainer(accelerator='tpu')"),
        (3, "Trainer(banana=…)"),
        (3, "Trainer(gpus=…)"),
        (3, "Trainer(model_registry='m')"),
        (5, "validation_epoch_end"),
        (6, "optimizer_idx"),
    ]
    assert all(one.reason and one.advice and one.kind == "unsupported" for one in found)


def test_what_is_written_down_about_a_name_is_told(tmp_path, monkeypatch):
    written = """
    [[no]]
    names = ["pytorch.callbacks.model_hub.Hub*", "pytorch.far"]
    why = "it needs a hub"
    [[differs]]
    names = ["pytorch.callbacks.timer.Timer", "pytorch.trainer.trainer.Trainer(benchmark)"]
    why = "it counts otherwise"
    """
    (tmp_path / "parity.toml").write_text(written)
    monkeypatch.setattr(reasons, "_PARITY", tmp_path / "parity.toml")
    reasons._entries.cache_clear()
    path = tmp_path / "program.py"
    path.write_text(
        "import lightning as L, lightning.pytorch.far\n"
        "from lightning.pytorch.callbacks import HubCallback, Timer\n"
        "L.Trainer(benchmark=True, max_epochs=1)\n"
    )
    found = migrate_file(path).findings
    reasons._entries.cache_clear()
    assert [(one.line, one.name, one.reason, one.kind) for one in found] == [
        (1, "lightning.pytorch.far", "it needs a hub", "unsupported"),
        (2, "lightning.pytorch.callbacks.HubCallback", "it needs a hub", "unsupported"),
        (2, "lightning.pytorch.callbacks.Timer", "it differs: it counts otherwise", "advice"),
        (3, "Trainer(benchmark=…)", "it differs: it counts otherwise", "advice"),
    ]


def test_reading_our_sources_tells_what_importing_them_would():
    """The surface is read, not imported; importing says the same."""
    doors = ["lit_studio", "lit_studio.pytorch", "lit_studio.fabric", "lit_studio.pytorch.callbacks"]
    doors += ["lit_studio.pytorch.loggers", "lit_studio.pytorch.utilities", "lit_studio.pytorch.strategies"]
    for door in doors:
        module = importlib.import_module(door)
        read = surface.names_in(door)
        assert set(module.__all__) <= read, door
        for name in sorted(read):
            if not hasattr(module, name):
                importlib.import_module(f"{door}.{name}")
        assert surface.is_module(door)
    from lit_studio.trainer.trainer import Trainer

    assert surface.trainer_arguments() == set(inspect.signature(Trainer).parameters)
    assert not surface.is_module("lit_studio.pytorch.nowhere")


@pytest.mark.parametrize(
    "name", ["ddp", "auto", "ddp_spawn", "fsdp", "deepspeed_stage_2", "single_device", "fsdp_cpu_offload"]
)
def test_strategies_are_told_as_the_trainer_refuses_them(told, name):
    from lit_studio.base.errors import MisconfigurationException
    from lit_studio.trainer.strategies import resolve_strategy

    try:
        resolve_strategy(name)
        refused = False
    except MisconfigurationException:
        refused = True
    found = told(f"import lightning as L\nL.Trainer(strategy={name!r})\n")
    assert found == ([(2, f"Trainer(strategy={name!r})")] if refused else [])


# Files --------------------------------------------------------------------------------------------------------------


def notebook(*sources):
    made = nbformat.v4.new_notebook()
    made.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    made.cells.insert(0, nbformat.v4.new_markdown_cell("import lightning as L"))
    return made


def test_a_notebook_changes_in_the_lines_that_change(tmp_path):
    path = tmp_path / "a.ipynb"
    made = notebook(
        "%pip install lightning\n!ls",
        "import pytorch_lightning\nfiles = !ls\n%matplotlib inline",
        "x = (1\n     % 2)\nTrainer = pytorch_lightning.Trainer(gpus=1)",
        "%%bash\nimport lightning",
        "%%time\nfrom lightning.pytorch import callbacks\ncallbacks.Nope",
        "import lightning as",
    )
    made.cells[2].outputs = [nbformat.v4.new_output("stream", text="import pytorch_lightning\né")]
    before = nbformat.writes(made) + "\n"
    path.write_text(before, encoding="utf-8")
    done = migrate_file(path)
    text = done.data.decode("utf-8")
    changed = [(a, b) for a, b in zip(before.splitlines(), text.splitlines(), strict=True) if a != b]
    assert [b.strip() for _, b in changed] == [
        '"import lit_studio.pytorch\\n",',
        '"Trainer = lit_studio.pytorch.Trainer(gpus=1)"',
        '"from lit_studio.pytorch import callbacks\\n",',
    ]
    assert [(f.cell, f.line, f.name, f.kind) for f in done.findings] == [
        (2, 1, "lightning", "advice"),
        (4, 3, "Trainer(gpus=…)", "unsupported"),
        (6, 3, "lightning.pytorch.callbacks.Nope", "unsupported"),
        (7, 1, "cell", "unsupported"),
    ]
    assert "a.ipynb (cell 3)" in done.diff("a.ipynb")
    path.write_bytes(done.data)
    assert not migrate_file(path).changed


def test_a_notebook_keeps_the_form_of_its_json(tmp_path):
    path = tmp_path / "a.ipynb"
    cell = {
        "cell_type": "code",
        "source": "import lightning as L",
        "outputs": [],
        "metadata": {},
        "execution_count": None,
    }
    for indent in (None, 2, "\t"):
        path.write_text(json.dumps({"cells": [cell], "nbformat": 4}, indent=indent))
        assert migrate_file(path).data.decode() == path.read_text().replace("lightning", "lit_studio")


def test_a_file_that_cannot_be_read_stays(tmp_path):
    for name, text in [
        ("old.py", "import lightning\nprint 'x'\n"),
        ("bad.ipynb", '{"cells": lightning'),
        ("odd.ipynb", '["lightning"]'),
    ]:
        path = tmp_path / name
        path.write_text(text)
        done = migrate_file(path)
        assert (done.changed, done.data.decode()) == (False, text)
        assert done.unsupported[0].reason.startswith("it can't be read: ")


def test_a_folder_is_read_without_environments_and_builds(tmp_path):
    for name in (
        "a.py",
        "src/b.py",
        ".hidden/c.py",
        "env/pyvenv.cfg",
        "env/d.py",
        "build/e.py",
        "node_modules/f.py",
        "g.md",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("import lightning as L\n")
    (tmp_path / "other.py").write_text("import torch\n")
    (tmp_path / "broken.py").write_text("print 'no word of it'\n")
    (tmp_path / "link.py").symlink_to(tmp_path / "a.py")
    assert [one.path.relative_to(tmp_path).as_posix() for one in migrate(tmp_path)] == ["a.py", "src/b.py"]


def test_what_is_no_source_is_refused(tmp_path):
    with pytest.raises(PathNotFoundError):
        list(migrate(tmp_path / "nothing"))
    (tmp_path / "a.txt").write_text("lightning\n")
    with pytest.raises(InvalidValueError, match="not migrated"):
        list(migrate(tmp_path / "a.txt"))


def test_nothing_of_the_program_is_run_and_no_torch_is_loaded(tmp_path):
    import subprocess
    import sys

    (tmp_path / "bomb.py").write_text("import lightning as L\nopen('ran', 'w')\nL.Nope\n")
    code = (
        "import sys; from lit_studio.studio.migration import migrate\n"
        "print(len(next(migrate('.')).findings), [n for n in ('torch', 'numpy', 'yaml') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "1 []\n"
    assert not (tmp_path / "ran").exists()


def test_a_file_is_replaced_whole_with_its_mode(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("import lightning as L\n")
    path.chmod(0o750)
    done = write(migrate_file(path))
    assert path.read_text() == "import lit_studio as L\n"
    assert path.stat().st_mode & 0o777 == 0o750
    assert done.backup.read_text() == "import lightning as L\n"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.py", "a.py.orig"]
    assert write(migrate_file(path)) is None


def test_private_names_that_programs_use_are_known_where_they_are_here(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(
        "from lightning.pytorch.utilities.imports import _TORCHVISION_AVAILABLE\n"
        "from lightning.fabric.wrappers import _FabricModule, _unwrap_objects\n"
        "from lightning.fabric.utilities.types import _PATH, LRScheduler\n"
        "from lightning.fabric.utilities.types import _NOT_THERE\n"
    )
    assert [finding.line for finding in migrate_file(path).findings] == [4]
