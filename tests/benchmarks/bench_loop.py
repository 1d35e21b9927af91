"""What a training step costs above a loop written by hand: ours and Lightning's, in one run.

It must not know how either trains; each side is a process of its own that pairs itself with the loop by hand.

Rounds are interleaved between the sides and only one works at a time. Both believe to be in a terminal, so both draw
their bar. "All on" is the Trainer as it comes (run record, logger, bar, checkpoint) with a ``self.log`` in every step.
"Reads" are of values out of tensors, which on an accelerator would make the loop wait. This is the CPU, where ours
reads because that is cheaper than keeping; on other devices it keeps, and reads all at once ten times a second.
What a library does by the clock, such as drawing, falls into half as many steps here, because the loop by hand takes
its share of the time: that counts against ours as against the peer's.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tests.benchmarks import report, workload

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".venv-peers" / "bin" / "python"
ROUNDS = 5
TARGET = 1.10
OURS = ["by hand", "ours, all off", "ours, all on"]
THEIRS = ["Lightning, all off", "Lightning, default and one log", "Lightning, logging every step"]


class Side:
    """A process that trains on request, with a terminal of its own to draw on."""

    def __init__(self, python: str):
        terminal, end = pty.openpty()
        answers, results = os.pipe()
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "TERM": "xterm",
            "COLUMNS": "100",
            "PYTHONWARNINGS": "ignore",
        }
        self.process = subprocess.Popen(
            [python, "-m", "tests.benchmarks.loop_side", str(results)],
            cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=end, stderr=end, pass_fds=[results], text=True,
        )  # fmt: skip
        os.close(end)
        os.close(results)
        self.drawn = bytearray()
        self.answers = os.fdopen(answers)
        threading.Thread(target=self._watch, args=(terminal,), daemon=True).start()

    def _watch(self, terminal: int) -> None:
        try:
            while data := os.read(terminal, 65_536):
                self.drawn += data
        except OSError:  # the other end is closed
            pass

    def ask(self, variant: str, *, count: bool = False) -> Any:
        """Have ``variant`` trained; its timings by block, or its counts."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"variant": variant, "count": count}) + "\n")
        self.process.stdin.flush()
        if answer := self.answers.readline():
            return json.loads(answer)
        raise SystemExit(f"The side that ran {variant!r} ended:\n{self.drawn[-4000:].decode(errors='replace')}")

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def measure(rounds: int) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Summaries and counts by variant, in rounds that take the sides in turn."""
    sides = {"ours": Side(sys.executable)}
    plan = [("ours", variant) for variant in OURS]
    if PEERS.exists():
        sides["Lightning"] = Side(str(PEERS))
        plan += [("Lightning", variant) for variant in THEIRS]
    else:
        print("Lightning is left out: `make bench-peers` installs it.")
    try:
        blocks: dict[str, list[dict[str, float]]] = {variant: [] for _, variant in plan}
        for _ in range(rounds):
            for side, variant in plan:
                blocks[variant] += sides[side].ask(variant)
        counts = {variant: sides[side].ask(variant, count=True) for side, variant in plan}
    finally:
        for side in sides.values():
            side.close()
    return {variant: workload.summary(found) for variant, found in blocks.items()}, counts


def main(rounds: int = ROUNDS) -> None:
    """Measure, and print a table and the claims."""
    summaries, counts = measure(rounds)
    bare = counts["by hand"]
    rows = []
    for variant, found in summaries.items():
        calls, reads = (counts[variant][name] - bare[name] for name in ("calls", "reads"))
        times = [f"{found['us']:.0f}", f"{found['bare_us']:.0f}", f"{found['ratio']:.3f}", f"{found['whole']:.3f}"]
        rows.append([variant, *times, f"{calls:.0f}", f"{reads:.2f}"])
    print(
        f"MLP 32→32→32, batch 32; {rounds} rounds of {workload.STEPS} steps in blocks of {workload.BLOCK}, each beside"
    )
    print("a block by hand; medians over blocks")
    report.table(["", "µs/step", "by hand", "ratio", "whole", "extra calls/step", "reads/step"], rows)
    ours = summaries["ours, all on"]
    # The medians of paired blocks say it better than two medians' quotient: scale the peer's figure to that ratio.
    report.result("loop.step", ours=ours["us"], peer="bare", theirs=ours["us"] / ours["ratio"], target=TARGET)
    for name in THEIRS[1:]:
        if theirs := summaries.get(name):
            label = name.replace(", ", "-").replace(" ", "-")
            report.result("loop.step", ours=ours["ratio"], peer=label, theirs=theirs["ratio"], target=1.0)


if __name__ == "__main__":
    main()
