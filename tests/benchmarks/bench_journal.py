"""What a kernel's journal costs the kernel, beside a stock ipykernel, and how fast outputs are made of it again.

It must not know a server or a page: kernels are started here, one with our boot file and one without, in turn.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import write_connection_file

from lit_studio.kernels import boot
from lit_studio.kernels.journal import MESSAGE, JournalWriter
from lit_studio.kernels.outcomes import KernelOutcomes
from lit_studio.kernels.places import KernelPlace
from tests.benchmarks import report

PRINTS = 10_000
ROUNDS = 11
MICROSECONDS, REDUCE_SECONDS = 10.0, 5.0
CPU = {"prints": 1.05, "displays": 1.15}  # ipykernel joins prints to few messages; a display is one
PROGRAMS = {
    "prints": f"for _ in range(10):\n    for i in range({PRINTS}): print(i)",
    "displays": f"for i in range({PRINTS // 4}): display(i)",
}
BIG = "line = 'x' * 99\nfor i in range(1_000_000): print(line)"


class Side:
    """One kernel.

    Args:
        folder: an empty one of its own.
        journalled: whether it writes a journal there; else it is ipykernel as it is.
    """

    def __init__(self, folder: Path, journalled: bool):
        self.place = KernelPlace(folder)
        connection = str(folder / "connection.json")
        write_connection_file(connection, ip="127.0.0.1")
        launcher = [str(boot.__file__), str(folder)] if journalled else ["-m", "ipykernel_launcher"]
        command, quiet = [sys.executable, *launcher, "-f", connection], subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdout=quiet, stderr=quiet)
        self.client = BlockingKernelClient(connection_file=connection)
        self.client.load_connection_file()
        self.client.start_channels()
        self.client.kernel_info(reply=True, timeout=60)  # a kernel that only begins has no heartbeat
        self.client.wait_for_ready(timeout=60)

    def run(self, code: str) -> float:
        """CPU seconds of the kernel's process from the request until its last message is out."""
        before = self._cpu()
        self.client.execute_interactive(code, output_hook=lambda message: None, timeout=300)
        time.sleep(0.3)  # threads come to rest
        return self._cpu() - before

    def _cpu(self) -> float:
        threads = Path(f"/proc/{self.process.pid}/task")
        try:  # in nanoseconds, where the usual clock ticks each 10 ms
            return sum(int((one / "schedstat").read_text().split()[0]) for one in threads.iterdir()) / 1e9
        except OSError:
            times = psutil.Process(self.process.pid).cpu_times()
            return times.user + times.system

    def end(self) -> None:
        """End the kernel."""
        self.client.stop_channels()
        self.process.kill()
        self.process.wait()


def microseconds_a_message(folder: Path, count: int = 20_000) -> list[float]:
    """What one record of a small message takes, each of ``count``."""
    header = json.dumps({"msg_id": "0" * 40, "msg_type": "stream", "session": "1" * 40, "date": "2026-11-24"}).encode()
    parts = [header, header, b"{}", json.dumps({"name": "stdout", "text": "epoch 3  loss 0.123\n"}).encode()]
    writer, times = JournalWriter(folder), []
    for _ in range(count):
        began = time.perf_counter_ns()
        writer.append(MESSAGE, parts)
        times.append((time.perf_counter_ns() - began) / 1e3)
    writer.close()
    return sorted(times)


def microseconds_a_write(folder: Path, count: int = 20_000) -> float:
    """The floor: handing 300 bytes to the system."""
    file = os.open(folder / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    block, times = b"x" * 300, []
    for _ in range(count):
        began = time.perf_counter_ns()
        os.write(file, block)
        times.append((time.perf_counter_ns() - began) / 1e3)
    os.close(file)
    return statistics.median(times)


def message(folder: Path) -> None:
    """One small message."""
    times = microseconds_a_message(folder / "messages")
    middle, late = times[len(times) // 2], times[len(times) * 99 // 100]
    floor = microseconds_a_write(folder)
    print(
        f"One small message: {middle:.1f} µs p50, {late:.1f} µs p99; a bare write of as much {floor:.1f} µs", flush=True
    )
    report.result("journal.message-us", ours=middle, peer="budget", theirs=MICROSECONDS, target=1.0)


def kernels(folder: Path) -> None:
    """The kernel's CPU with and without the journal, and reducing what 100 MB of prints have left."""
    sides = {}
    for name in ("ours", "ipykernel"):
        (folder / name).mkdir()
        sides[name] = Side(folder / name, name == "ours")
    try:
        for program, code in PROGRAMS.items():
            found: dict[str, list[float]] = {name: [] for name in sides}
            for index in range(ROUNDS + 1):
                for name in sorted(sides, reverse=bool(index % 2)):
                    seconds = sides[name].run(code)
                    if index:  # the first warms up
                        found[name].append(seconds)
            rows = [
                [name, *(f"{one:.3f}" for one in (min(times), statistics.median(times)))]
                for name, times in found.items()
            ]
            print(f"\nCPU seconds of a kernel for {code!r}, {ROUNDS} rounds in turn")
            report.table(["", "least", "median"], rows)
            # The least of many: what else the machine does only ever adds.
            ours, theirs = (min(found[name]) for name in ("ours", "ipykernel"))
            report.result(f"journal.{program}-cpu", ours=ours, peer="ipykernel", theirs=theirs, target=CPU[program])
        sides["ours"].run(BIG)
        began, cpu = time.perf_counter(), time.process_time()
        request = KernelOutcomes(sides["ours"].place).requests()[-1]
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        size = sum(path.stat().st_size for path in sides["ours"].place.journal.iterdir())
        kept = sum(len(output.get("text", "")) for output in request.outputs)
        print(
            f"\nReducing a journal of {size / 1e6:.0f} MB: {seconds:.1f} s, CPU {cpu:.1f} s; {kept / 1e3:.0f} kB kept"
        )
        report.result("journal.reduce-seconds", ours=seconds, peer="budget", theirs=REDUCE_SECONDS, target=1.0)
    finally:
        for side in sides.values():
            side.end()


def main() -> None:
    """Run it."""
    with tempfile.TemporaryDirectory(prefix="lit-") as name:
        message(Path(name))
        kernels(Path(name))


if __name__ == "__main__":
    main()
