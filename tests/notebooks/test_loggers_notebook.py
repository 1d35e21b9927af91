"""The how-to on loggers does what it promises when run without a page, an account or a network."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "howto" / "log-to-tensorboard-wandb-mlflow.ipynb"
STEPS = 64


@pytest.mark.slow
def test_all_loggers_have_the_run_and_a_missing_server_costs_only_a_warning(tmp_path):
    copy = tmp_path / NOTEBOOK.name
    copy.write_bytes(NOTEBOOK.read_bytes())
    command = [str(Path(sys.executable).with_name("lit-studio")), "run", str(copy), "--output", "done.ipynb", "--json"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "MLFLOW_"))}
    environment = {**kept, "LIT_STUDIO_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, env=environment)
    assert told.returncode == 0, told.stdout + told.stderr
    states = [run["status"]["state"] for run in json.loads(told.stdout)["runs"]]
    assert set(states) == {"finished"}
    cells = {cell["id"]: cell for cell in nbformat.read(tmp_path / "done.ipynb", as_version=4).cells}
    printed = "".join(one.text for one in cells["look"].outputs if one.get("name") == "stdout")
    assert f"CSV: {STEPS} rows" in printed
    assert (tmp_path / "lightning_logs" / "version_0" / "hparams.yaml").read_text() == "lr: 0.1\nnoise: 0.2\n"
    if importlib.util.find_spec("tensorboard"):
        assert list((tmp_path / "lightning_logs" / "version_1").glob("events.out.tfevents.*"))
    if importlib.util.find_spec("wandb"):
        assert list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
        assert "W&B: 0.0" in printed
    if all(importlib.util.find_spec(name) for name in ("mlflow", "sqlalchemy", "alembic")):
        assert f"MLflow: {STEPS} values" in printed
        assert "{'lr': '0.1', 'noise': '0.2'}" in printed
        away = "".join(one.get("text", "") for one in cells["away"].outputs)
        assert "steps: 16" in away
        assert "MLFlowLogger failed, and training goes on" in away
        assert "MLFlowLogger has not sent everything" in away
