"""What training costs above a loop written by hand: ours, Lightning's and both Fabrics, in one run.

It must not know how any of them trains; each library is a process of its own that pairs itself with the loop by hand.

Rounds are interleaved between the sides and only one works at a time. Both believe to be in a terminal, so both draw
their bar. "Default" is the Trainer as it comes (run record, logger, bar, checkpoint) with a ``self.log`` in every
step; "all on" is that with each step's value written to a CSV file. "Reads" are of values out of tensors, which on an
accelerator would make the loop wait: on the CPU ours reads the logged value because that is cheaper than keeping it;
on other devices it keeps, and reads all at once ten times a second. What a library does by the clock, such as drawing,
falls into half as many steps here, because the loop by hand takes its share of the time: that counts against ours as
against the peer's.

Where there is a CUDA device the same is done on it, in fp32 and in bf16.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from dataclasses import replace

import torch

from tests.benchmarks import report, workload
from tests.benchmarks.sides import PEERS, ROOT, Side, both
from tests.benchmarks.workload import CNN, GPT, MLP, Task

ROUNDS, IMPORTS, FITS = 5, 5, 16
EVERYTHING = {
    "ours": [
        "by hand",
        "ours, all off",
        "ours, default and one log",
        "ours, all on",
        "our Fabric, no log",
        "our Fabric, one log",
    ],
    "Lightning": [
        "Lightning, all off",
        "Lightning, default and one log",
        "Lightning, logging every step",
        "Lightning Fabric",
    ],
}
DEFAULTS = {"ours": ["by hand", "ours, all on"], "Lightning": ["Lightning, logging every step"]}
TARGETS = {
    "ours, all on": 1.10,
    "ours, default and one log": 1.10,
    "ours, all off": 1.03,
    "our Fabric, no log": 1.05,
    "our Fabric, one log": 1.05,
}
PEER_OF = {
    "ours, all on": "Lightning, logging every step",
    "ours, default and one log": "Lightning, default and one log",
    "ours, all off": "Lightning, all off",
    "our Fabric, no log": "Lightning Fabric",
}
LARGER = 1.01
FIRST_STEP_MS, IMPORT_SECONDS = 6.0, 0.4

Summaries = dict[str, dict[str, float]]


def measure(
    sides: dict[str, Side], variants: dict[str, list[str]], task: Task, rounds: int
) -> tuple[Summaries, Summaries]:
    """Summaries and counts by variant, in rounds that take the sides in turn."""
    plan = [(side, variant) for side in sides for variant in variants[side]]
    blocks: dict[str, list[dict[str, float]]] = {variant: [] for _, variant in plan}
    for _ in range(rounds):
        for side, variant in plan:
            blocks[variant] += sides[side].train(variant, task)
    counts = {variant: sides[side].train(variant, task, count=True) for side, variant in plan}
    return {variant: workload.summary(found, task) for variant, found in blocks.items()}, counts


def show(title: str, summaries: Summaries, counts: Summaries) -> None:
    """A table of times and counts."""
    bare, rows = counts["by hand"], []
    for variant, found in summaries.items():
        calls, reads = (counts[variant][name] - bare[name] for name in ("calls", "reads"))
        times = [f"{found['us']:.0f}", f"{found['bare_us']:.0f}", f"{found['ratio']:.3f}", f"{found['whole']:.3f}"]
        rows.append([variant, *times, f"{found['cpu_ratio']:.3f}", f"{calls:.0f}", f"{reads:.2f}"])
    print(f"\n{title}")
    header = ["", "µs/step", "by hand", "ratio", "whole", "CPU", "extra calls/step", "reads/step"]
    report.table(header, rows)


def claim(name: str, summaries: Summaries, variant: str, target: float) -> None:
    """A RESULT line against the loop by hand, and one against the peer where there is one."""
    found = summaries[variant]
    # The medians of paired blocks say it better than two medians' quotient: scale the peer's figure to that ratio.
    report.result(name, ours=found["us"], peer="bare", theirs=found["us"] / found["ratio"], target=target)
    peer = summaries.get(PEER_OF.get(variant, ""))
    if peer is not None:
        label = PEER_OF[variant].replace(", ", "-").replace(" ", "-")
        report.result(name, ours=found["ratio"], peer=label, theirs=peer["ratio"], target=1.0)


def tiny(sides: dict[str, Side], rounds: int, task: Task = MLP, tail: str = "") -> None:
    """The MLP, whose steps are so short that everything around them shows."""
    summaries, counts = measure(sides, EVERYTHING, task, rounds)
    title = (
        f"MLP 32→32→32, batch 32{tail}; {rounds} rounds of {task.steps} steps in blocks of {task.block}, each beside"
    )
    show(f"{title} a block by hand; medians over blocks", summaries, counts)
    names = {
        "ours, all on": "step",
        "ours, default and one log": "default",
        "ours, all off": "off",
        "our Fabric, no log": "fabric",
        "our Fabric, one log": "fabric-log",
    }
    for variant, target in TARGETS.items():
        claim(f"loop.{names[variant]}{tail.replace(', ', '-')}", summaries, variant, target)
    bare, on = counts["by hand"]["calls"], counts["ours, all on"]["calls"]
    report.result(f"loop.calls{tail.replace(', ', '-')}", ours=on - bare, peer="budget", theirs=40, target=1.0)


def larger(sides: dict[str, Side], rounds: int) -> None:
    """A small CNN and a small GPT, with everything on."""
    for task in (CNN, GPT):
        summaries, counts = measure(sides, DEFAULTS, task, rounds)
        show(f"Small {task.name.upper()}, everything on; {rounds} rounds of {task.steps} steps", summaries, counts)
        claim(f"loop.{task.name}", summaries, "ours, all on", LARGER)


def starting(sides: dict[str, Side]) -> None:
    """The way from nothing to the first step of a later fit, and from ``import`` to a Trainer."""
    asked = {"by hand": sides["ours"], **sides}
    found = {name: statistics.median(side.ask(first_steps=name, fits=FITS)) * 1e3 for name, side in asked.items()}
    said = ", ".join(f"{name} {ms:.1f}" for name, ms in found.items())
    print(f"\nModule, Trainer and fit() to its first step, everything on, CPU ms: {said}")
    report.result("loop.first-step-ms", ours=found["ours"], peer="budget", theirs=FIRST_STEP_MS, target=1.0)
    if theirs := found.get("Lightning"):
        report.result("loop.first-step-ms", ours=found["ours"], peer="Lightning", theirs=theirs, target=1.0)
    ours = import_seconds(sys.executable, "import lit_studio as L; L.Trainer, L.LightningModule")
    print(f"Import above torch, CPU seconds: ours {ours:.2f}", flush=True)
    report.result("loop.import-seconds", ours=ours, peer="budget", theirs=IMPORT_SECONDS, target=1.0)
    if PEERS.exists():
        theirs = import_seconds(str(PEERS), "import lightning as L; L.Trainer, L.LightningModule")
        report.result("loop.import-seconds", ours=ours, peer="Lightning", theirs=theirs, target=1.0)


def import_seconds(python: str, line: str) -> float:
    """CPU seconds that ``line`` takes above ``import torch``: medians of fresh processes in turn."""
    code = "import time, torch; began = time.process_time(); {}; print(time.process_time() - began)"
    times = []
    for _ in range(IMPORTS):
        command = [python, "-W", "ignore", "-c", code.format(line)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        times.append(float(done.stdout.split()[-1]))
    return statistics.median(times)


def main(rounds: int = ROUNDS) -> None:
    """Measure, and print tables and claims."""
    sides = both()
    try:
        tiny(sides, rounds)
        larger(sides, rounds)
        starting(sides)
        for precision in ("32-true", "bf16-mixed") if torch.cuda.is_available() else ():
            tiny(sides, rounds, replace(MLP, device="cuda", precision=precision), f", cuda, {precision}")
    finally:
        for side in sides.values():
            side.close()


if __name__ == "__main__":
    main()
