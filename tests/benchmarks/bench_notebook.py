"""What training in a notebook costs: time a step, and messages and bytes a second, ours and Lightning's.

It must not know how either draws; it executes one cell in a real kernel of each environment and weighs what comes out.
Steps of a tenth of a millisecond and of some fifty show that what is sent follows the clock and not the steps.

No page is open here. Ours sends more only where a page asks for it over the widget's channel; in JupyterLab the page
asks the server, and the kernel sends what is counted here.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.benchmarks import report, workload
from tests.benchmarks.sides import PEERS, ROOT
from tests.benchmarks.workload import GPT, MLP, Task

ROUNDS = 3
TARGET = 1.15
MESSAGES, KILOBYTES = 40, 20  # a second
EDGE = 0.3  # seconds after the cell's begin and before its end in which there is once something to show
PREPARE = """
import json, os, sys, tempfile
os.chdir(tempfile.mkdtemp())
sys.path.insert(0, {root!r})
import torch
torch.set_num_threads(1)
from tests.benchmarks import loop_side, workload
bare = {{name: workload.by_hand(task) for name, task in workload.TASKS.items()}}
"""
TRAIN = """
task = workload.TASKS[{task!r}]
paired = workload.PairedLoader(bare[{task!r}], task)
loop_side.VARIANTS[{variant!r}](paired, task)
"""
ANSWER = "json.dumps(paired.timings())"


@dataclass
class Cell:
    """What executing a cell brought: messages and bytes on IOPub, how long it took, and an expression's value.

    Attributes:
        arrived: when each message came on IOPub, in seconds since the request, and the bytes of content and buffers.
        seconds: from the request to the kernel's being idle again.
        value: the expression's.
    """

    arrived: list[tuple[float, int]]
    seconds: float
    value: Any


class Notebook:
    """A real kernel of one environment, driven as a notebook drives it."""

    def __init__(self, python: str, folder: Path):
        spec = folder / "kernels" / "bench"
        spec.mkdir(parents=True)
        command = [str(Path.cwd() / python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        description = {"argv": command, "display_name": "bench", "language": "python"}
        (spec / "kernel.json").write_text(json.dumps(description), encoding="utf-8")
        connection = str(folder / "connection.json")
        self.manager = KernelManager(kernel_name="bench", transport="ipc", connection_file=connection)
        self.manager.kernel_spec_manager.kernel_dirs = [str(folder / "kernels")]
        self.manager.start_kernel(
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}, cwd=str(folder)
        )
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.execute(PREPARE.format(root=str(ROOT)))

    def execute(self, code: str, expression: str = "None") -> Cell:
        """Run ``code``, counting what arrives until the kernel is idle, then ``expression``."""
        request, began = self.client.execute(code, user_expressions={"value": expression}), time.monotonic()
        arrived = []
        while True:
            message = self.client.get_iopub_msg(timeout=300)
            if message["parent_header"].get("msg_id") != request:
                continue
            size = len(json.dumps(message["content"])) + sum(map(len, message["buffers"]))
            arrived.append((time.monotonic() - began, size))
            if message["msg_type"] == "error":
                raise SystemExit("\n".join(message["content"]["traceback"]))
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                break
        seconds = time.monotonic() - began
        reply: dict[str, Any] = {"parent_header": {}}
        while reply["parent_header"].get("msg_id") != request:  # answers about the kernel may come first
            reply = self.client.get_shell_msg(timeout=60)
        value = reply["content"]["user_expressions"]["value"]["data"]["text/plain"]
        return Cell(arrived, seconds, value)

    def close(self) -> None:
        """End the kernel."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def measure(rounds: int, task: Task) -> dict[str, dict[str, float]]:
    """Times, messages and bytes by variant, the two kernels in turn."""
    pythons = {"ours, default and one log": sys.executable, "Lightning, default and one log": str(PEERS)}
    if not PEERS.exists():
        print("Lightning is left out: `make bench-peers` installs it.")
        del pythons["Lightning, default and one log"]
    cells: dict[str, list[Cell]] = {variant: [] for variant in pythons}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as kernels:
        notebooks = {
            variant: kernels.enter_context(contextlib.closing(Notebook(python, Path(folder) / str(number))))
            for number, (variant, python) in enumerate(pythons.items())
        }
        for _ in range(rounds):
            for variant, notebook in notebooks.items():
                cells[variant].append(notebook.execute(TRAIN.format(variant=variant, task=task.name), ANSWER))
    return {variant: weighed(found, task) for variant, found in cells.items()}


def weighed(cells: list[Cell], task: Task) -> dict[str, float]:
    """Times a step, and what was sent: a second while it trained, and in all, with the first and the last picture.

    A second counts without the loop by hand: what is sent by the clock would else look half as much as it is.
    """
    blocks = [block for cell in cells for block in json.loads(cell.value.strip("'"))]
    last = cells[-1]
    by_hand = sum(block["bare_wall"] for block in json.loads(last.value.strip("'")))
    share = 1 - by_hand * task.steps / (task.steps - task.warm_up) / last.seconds
    during = [size for when, size in last.arrived if EDGE < when < last.seconds - EDGE]
    seconds = (last.seconds - 2 * EDGE) * share
    return {
        "messages": len(during) / seconds,
        "kB": sum(during) / 1e3 / seconds,
        "in all": len(last.arrived),
        "kB in all": sum(size for _, size in last.arrived) / 1e3,
        "messages/1k": len(last.arrived) / task.steps * 1_000,
        **workload.summary(blocks, task),
    }


def show(task: Task, rounds: int) -> dict[str, dict[str, float]]:
    """Measure ``task`` and print a table."""
    found, rows = measure(rounds, task), []
    for variant, one in found.items():
        times = [f"{one['us']:.0f}", f"{one['bare_us']:.0f}", f"{one['ratio']:.3f}", f"{one['whole']:.3f}"]
        sent = [f"{one['messages']:.1f}", f"{one['kB']:.1f}", f"{one['in all']:.0f}", f"{one['kB in all']:.0f}"]
        rows.append([variant, *times, *sent])
    print(f"\nIn a real kernel, no page open: {task.name.upper()}")
    header = ["", "µs/step", "by hand", "ratio", "whole", "messages/s", "kB/s", "messages in all", "kB in all"]
    report.table(header, rows)
    return found


def main(rounds: int = ROUNDS) -> None:
    """Measure, and print tables and the claims."""
    peer = "Lightning-default-and-one-log"
    for task, claim in ((MLP, "notebook"), (GPT, "notebook.slow")):
        found = show(task, rounds)
        ours, theirs = found["ours, default and one log"], found.get("Lightning, default and one log")
        whole = ours["us"] / ours["ratio"]
        report.result(f"{claim}.step", ours=ours["us"], peer="bare", theirs=whole, target=TARGET)
        report.result(f"{claim}.messages", ours=ours["messages"], peer="budget", theirs=MESSAGES, target=1.0)
        report.result(f"{claim}.kB", ours=ours["kB"], peer="budget", theirs=KILOBYTES, target=1.0)
        if theirs:
            report.result(f"{claim}.step", ours=ours["ratio"], peer=peer, theirs=theirs["ratio"], target=1.0)
            both = {"ours": ours["messages/1k"], "theirs": theirs["messages/1k"]}
            report.result(f"{claim}.messages", peer=peer, target=0.1 if task is MLP else 1.0, **both)


if __name__ == "__main__":
    main()
