"""Checkpoints travel: what one of the two libraries wrote, the other loads and goes on from as the first would."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

DIRECTIONS = [("ours", "lightning"), ("lightning", "ours")]
# What a scenario trains and saves; ``resume`` are the options of the fit that goes on.
SCENARIOS: dict[str, dict[str, Any]] = {
    "adam and a schedule by epochs": {"module": "Net"},
    "a schedule by steps": {"module": "ByStep"},
    "a schedule that watches a metric": {"module": "Plateau"},
    "two optimizers by hand": {"module": "Manual"},
    "averaged weights": {"module": "Net", "averaged": True},
    "accumulated gradients": {"module": "Net", "batches": 5, "trainer": {"accumulate_grad_batches": 2}},
    "accumulation that changes": {"module": "Net", "accumulating": True},
    "clipping and validation within the epoch": {
        "module": "Net",
        "trainer": {"gradient_clip_val": 0.1, "val_check_interval": 3},
    },
    "a timer": {"module": "Net", "timed": True},
}


def assert_equal(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Everything equal, weights within 1e-6."""
    theirs = [torch.tensor(values) for values in wanted["weights"]]
    ours = [torch.tensor(values) for values in found["weights"]]
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-6)
    rest = [{key: value for key, value in one.items() if key not in ("weights", "metrics")} for one in (found, wanted)]
    assert rest[0] == rest[1]
    assert found["metrics"] == pytest.approx(wanted["metrics"], abs=1e-6)


def go_on(travel: tuple[Any, Any], folder: Path, options: dict[str, Any], file: Path) -> None:
    """Both resume from ``file``, each with the files in ``folder`` as they are now, and come to the same."""
    writes, reads = travel
    before = shutil.copytree(folder, folder.with_name("before"))
    wanted = writes("fit", folder=folder, options=options, ckpt_path=file)
    shutil.rmtree(folder)
    before.rename(folder)
    found = reads("fit", folder=folder, options=options, ckpt_path=file)
    assert found["current_epoch"] == options["epochs"]
    assert_equal(found, wanted)


@pytest.fixture(params=DIRECTIONS, ids=["ours to lightning", "lightning to ours"])
def travel(request, sides):
    """The side that writes and the side that reads."""
    return sides[request.param[0]], sides[request.param[1]]


@pytest.mark.parametrize("name", SCENARIOS)
def test_going_on_after_an_epoch(travel, tmp_path: Path, name: str):
    writes, _ = travel
    file, folder = tmp_path / "saved.ckpt", tmp_path / "written"
    writes("fit", folder=folder, options={**SCENARIOS[name], "epochs": 2}, save=file)
    go_on(travel, folder, {**SCENARIOS[name], "epochs": 4}, file)


@pytest.mark.parametrize("module", ["Net", "Manual"])
def test_going_on_in_mid_epoch(travel, tmp_path: Path, module: str):
    """A reader makes of the other's file what it makes of its own (of which Lightning doesn't make the whole fit)."""
    options = {"module": module, "watched": False, "every": 4 if module == "Net" else 8, "epochs": 3}
    whole, resumed = {}, {}
    for side in travel:
        folder = tmp_path / side.package
        whole[side] = side("fit", folder=folder, options=options)
        file = folder / f"step-step={options['every']}.ckpt"
        assert torch.load(file, weights_only=True)["epoch"] == 0
        resumed[side] = travel[1]("fit", folder=tmp_path / "resumed", options=options, ckpt_path=file)
        del resumed[side]["kept"]
    assert_equal(*resumed.values())
    if travel[1].package == "lit_studio":
        del whole[travel[1]]["kept"]
        assert_equal(resumed[travel[0]], {**whole[travel[1]], "asked": 2})  # the first fit asked, and this one


def test_going_on_from_the_last_validations_checkpoint(travel, tmp_path: Path):
    writes, _ = travel
    folder, options = tmp_path / "written", {"module": "Net"}
    writes("fit", folder=folder, options={**options, "epochs": 2})
    go_on(travel, folder, {**options, "epochs": 4}, folder / "last.ckpt")


@pytest.mark.parametrize("averaged", [False, True])
def test_loading_a_module(travel, tmp_path: Path, averaged: bool):
    writes, reads = travel
    file = tmp_path / "saved.ckpt"
    options = {"module": "Net", "averaged": averaged, "epochs": 1}
    writes("fit", folder=tmp_path, options=options, save=file)
    wanted, found = (side("load", path=file, module="Net") for side in travel)
    assert found == wanted
    assert found["hparams"] == {"width": 3, "lr": 0.05, "names": ["a", "b"]}
    assert reads("load", path=file, module="Net", lr=0.5)["hparams"]["lr"] == 0.5
    assert reads("predict", folder=tmp_path, options=options, ckpt_path=file) == writes(
        "predict", folder=tmp_path, options=options, ckpt_path=file
    )


@pytest.mark.parametrize("module", ["Net", "Manual"])
def test_files_have_one_layout(sides, tmp_path: Path, module: str):
    files = {}
    for name, side in sides.items():
        side("fit", folder=tmp_path / name, options={"module": module, "epochs": 2}, save=tmp_path / f"{name}.ckpt")
        files[name] = torch.load(tmp_path / f"{name}.ckpt", weights_only=True)
    ours, theirs = files["ours"], files["lightning"]
    assert set(ours) == set(theirs)
    assert set(ours["state_dict"]) == set(theirs["state_dict"])
    strip = str(tmp_path)
    keys = [{key.replace(strip, "") for key in one["callbacks"]} for one in (ours, theirs)]
    assert {key.replace("/ours", "").replace("/lightning", "") for key in keys[0]} == {
        key.replace("/ours", "").replace("/lightning", "") for key in keys[1]
    }
    for one in (ours, theirs):  # ours doesn't count the batches of past validations, for which nobody asks again
        del one["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]
    assert ours["loops"] == theirs["loops"]
    for key in ("epoch", "global_step", "hyper_parameters", "hparams_name", "datamodule_hyper_parameters"):
        assert ours.get(key) == theirs.get(key), key
    assert [set(one) for one in ours["optimizer_states"]] == [set(one) for one in theirs["optimizer_states"]]
    assert ours["lr_schedulers"] == theirs["lr_schedulers"]
