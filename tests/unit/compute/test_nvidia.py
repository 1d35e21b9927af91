"""GPUs through the real nvidia-ml-py, over a library that is compiled for the test and tells what a file says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ASK = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from lit_studio.compute import Meter
from lit_studio.compute import nvidia
nvidia.RETRY_AFTER = 0.0
meter = Meter(fresh=0)
for text in json.loads(sys.argv[1]):
    Path(sys.argv[2]).write_text(text)
    reading = meter.read([int(pid) for pid in sys.argv[3:]])
    print(json.dumps({"devices": [asdict(d) for d in reading.devices],
                      "processes": {p: asdict(u) for p, u in reading.processes.items()}}))
assert "torch" not in sys.modules
"""
MIB = 1024 * 1024


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed (the extra gpu)")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("no C compiler to build the stand-in for NVIDIA's library with")
    folder = tmp_path_factory.mktemp("nvml")
    source = Path(__file__).with_name("nvml.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "libnvidia-ml.so.1", source], check=True)
    return folder


@pytest.fixture
def ask(library, tmp_path):
    """Readings, one for each content of the file."""

    def ask(*contents: str, pids: tuple[int, ...] = ()) -> list[dict]:
        file = tmp_path / "gpus"
        command = [sys.executable, "-c", ASK, json.dumps(contents), file, *map(str, pids)]
        environment = {**os.environ, "LD_LIBRARY_PATH": str(library), "GPUS": str(file)}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in result.stdout.splitlines()]

    return ask


def test_gpus_and_the_memory_that_a_process_tree_holds_on_each(ask):
    me, child = os.getpid(), subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        lines = (
            f"H100 81920 3000 42 {me}:1000,{child.pid}:500,4194000:7\nH100 81920 200 0 {child.pid}:100\nA10 24000 0 0 -"
        )
        [reading] = ask(f"0\n{lines}\n", pids=(me,))
    finally:
        child.communicate(b"\n")
    cpu, *gpus = reading["devices"]
    assert cpu["kind"] == "cpu"
    assert cpu["reason"] == ""
    assert [gpu["index"] for gpu in gpus] == [0, 1, 2]
    assert gpus[0] == {
        "kind": "cuda", "index": 0, "name": "H100", "utilization": 42.0,
        "memory_used": 3000 * MIB, "memory_total": 81920 * MIB, "reason": "",
    }  # fmt: skip
    assert reading["processes"][str(me)]["gpu_memory"] == {"0": 1500 * MIB, "1": 100 * MIB}


def test_what_a_gpu_does_not_tell_is_none_and_a_lost_one_says_so(ask):
    [reading] = ask("0\nMIG 81920 3000 -1 -\nSHARED 0 0 5 -\nLOST 1 1 1 -\n")
    mig, shared, lost = reading["devices"][1:]
    assert (mig["utilization"], mig["memory_used"]) == (None, 3000 * MIB)
    assert (shared["utilization"], shared["memory_total"]) == (5.0, None)
    assert "doesn't answer" in lost["name"]
    assert (lost["utilization"], lost["memory_total"]) == (None, None)


def test_a_driver_that_is_not_loaded_is_a_reason_and_is_tried_again(ask):
    without, gone, back = ask("9\n", "9\n", "0\nH100 81920 0 0 -\n")
    assert "can't be used" in without["devices"][0]["reason"]
    assert len(gone["devices"]) == 1
    assert back["devices"][1]["name"] == "H100"


def test_a_driver_that_goes_away_is_a_reason_not_an_error(ask):
    there, gone, back = ask("0\nH100 81920 0 0 -\n", "9\n", "0\nH100 81920 0 0 -\n")
    assert len(there["devices"]) == 2
    assert "no longer answers" in gone["devices"][0]["reason"]
    assert len(back["devices"]) == 2


def test_no_gpu_behind_a_working_driver(ask):
    [reading] = ask("0\n")
    assert reading["devices"][0]["reason"] == "The NVIDIA driver knows no GPU."


def test_without_a_library_or_a_package_there_are_no_gpus_and_the_reason_says_why(tmp_path):
    script = (
        "import sys\n"
        "if sys.argv[1] == 'package': sys.modules['pynvml'] = None\n"
        "else:\n"
        "    import ctypes\n"
        "    def nothing(*_): raise OSError('no such library')\n"
        "    import pynvml; pynvml.CDLL = nothing\n"
        "from lit_studio.compute import Meter\n"
        "devices = Meter().read().devices\n"
        "print(len(devices), devices[0].reason)\n"
    )

    def say(missing: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", script, missing], capture_output=True, text=True, check=True
        ).stdout

    assert "1 nvidia-ml-py is not installed" in say("package")
    assert "lit-studio[gpu]" in say("package")
    pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed (the extra gpu)")
    assert "1 There is no NVIDIA driver" in say("library")
