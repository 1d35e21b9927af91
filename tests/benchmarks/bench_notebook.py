"""What training in a notebook costs: time a step, and messages from the kernel, ours and Lightning's.

It must not know how either draws; it executes one cell in a real kernel of each environment and weighs what comes out.

No page is open here. Ours sends more only where a page asks for it over the widget's channel; in JupyterLab the page
asks the server, and the kernel sends what is counted here.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.benchmarks import report, workload
from tests.benchmarks.bench_loop import PEERS, ROOT

ROUNDS = 3
TARGET = 1.15
MESSAGES = 70
PREPARE = """
import json, os, sys, tempfile
os.chdir(tempfile.mkdtemp())
sys.path.insert(0, {root!r})
import torch
torch.set_num_threads(1)
from tests.benchmarks import loop_side, workload
bare = workload.by_hand()
"""
TRAIN = """
paired = workload.PairedLoader(bare)
loop_side.VARIANTS[{variant!r}](paired)
"""
ANSWER = "json.dumps(paired.timings())"


@dataclass
class Cell:
    """What executing a cell brought: messages and bytes on IOPub, and the value of an expression afterwards."""

    messages: int
    size: int
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
        request = self.client.execute(code, user_expressions={"value": expression})
        messages = size = 0
        while True:
            message = self.client.get_iopub_msg(timeout=300)
            if message["parent_header"].get("msg_id") != request:
                continue
            messages += 1
            size += len(json.dumps(message["content"])) + sum(map(len, message["buffers"]))
            if message["msg_type"] == "error":
                raise SystemExit("\n".join(message["content"]["traceback"]))
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                break
        reply: dict[str, Any] = {"parent_header": {}}
        while reply["parent_header"].get("msg_id") != request:  # answers about the kernel may come first
            reply = self.client.get_shell_msg(timeout=60)
        value = reply["content"]["user_expressions"]["value"]["data"]["text/plain"]
        return Cell(messages, size, value)

    def close(self) -> None:
        """End the kernel."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Times, messages and bytes for 1,000 steps, by variant, the two kernels in turn."""
    pythons = {"ours, all on": sys.executable, "Lightning, default and one log": str(PEERS)}
    if not PEERS.exists():
        print("Lightning is left out: `make bench-peers` installs it.")
        del pythons["Lightning, default and one log"]
    found: dict[str, dict[str, float]] = {}
    blocks: dict[str, list[dict[str, float]]] = {variant: [] for variant in pythons}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as kernels:
        notebooks = {
            variant: kernels.enter_context(contextlib.closing(Notebook(python, Path(folder) / str(number))))
            for number, (variant, python) in enumerate(pythons.items())
        }
        for _ in range(rounds):
            for variant, notebook in notebooks.items():
                cell = notebook.execute(TRAIN.format(variant=variant), ANSWER)
                blocks[variant] += json.loads(cell.value.strip("'"))
                thousands = workload.STEPS / 1_000
                found[variant] = {"messages": cell.messages / thousands, "bytes": cell.size / thousands}
    return {variant: {**weights, **workload.summary(blocks[variant])} for variant, weights in found.items()}


def main(rounds: int = ROUNDS) -> None:
    """Measure, and print a table and the claims."""
    found = measure(rounds)
    rows = []
    for variant, one in found.items():
        times = [f"{one['us']:.0f}", f"{one['bare_us']:.0f}", f"{one['ratio']:.3f}", f"{one['whole']:.3f}"]
        rows.append([variant, *times, f"{one['messages']:.0f}", f"{one['bytes'] / 1e3:.1f}"])
    print("In a real kernel, no page open; messages and kB for 1,000 steps")
    report.table(["", "µs/step", "by hand", "ratio", "whole", "messages", "kB"], rows)
    ours = found["ours, all on"]
    report.result("notebook.step", ours=ours["us"], peer="bare", theirs=ours["us"] / ours["ratio"], target=TARGET)
    report.result("notebook.messages", ours=ours["messages"], peer="budget", theirs=MESSAGES, target=1.0)
    if theirs := found.get("Lightning, default and one log"):
        peer = "Lightning-default-and-one-log"
        report.result("notebook.step", ours=ours["ratio"], peer=peer, theirs=theirs["ratio"], target=1.0)
        report.result("notebook.messages", ours=ours["messages"], peer=peer, theirs=theirs["messages"], target=0.1)


if __name__ == "__main__":
    main()
