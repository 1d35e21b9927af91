"""What ``import lit_studio`` costs: which modules it loads is asserted, how long it takes is only told.

It must not know how the package stays light.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

import pytest

HEAVY = {
    "torch",
    "numpy",
    "IPython",
    "ipykernel",
    "ipywidgets",
    "anywidget",
    "traitlets",
    "tornado",
    "rich",
    "yaml",
    "typer",
    "sklearn",
}


def loaded_by(statement: str) -> set[str]:
    """The top-level names of the modules that a fresh Python has loaded after ``statement``."""
    code = f"{statement}\nimport sys, json\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(result.stdout.splitlines()[-1]))


def heavy(names: set[str]) -> set[str]:
    """Those of ``names`` that are heavy: torch, Jupyter, and what they bring."""
    return {name for name in names if name in HEAVY or name.startswith("jupyter")}


def seconds(statement: str) -> float:
    """How long a fresh Python takes to start, run ``statement`` and end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - began


def test_the_package_loads_neither_torch_nor_jupyter(record_property):
    assert heavy(loaded_by("import lit_studio")) == set()
    pairs = [(seconds("pass"), seconds("import lit_studio")) for _ in range(7)]
    extra = statistics.median(ours - bare for bare, ours in pairs) * 1000
    record_property("import_ms", round(extra, 1))
    print(f"import lit_studio takes {extra:.1f} ms above bare Python (target: under 50)")


def test_the_trainer_is_there_when_asked_for():
    loaded = loaded_by("import lit_studio as L\nL.Trainer")
    assert "torch" in loaded
    assert not {name for name in loaded if name.startswith("jupyter") or name in ("IPython", "ipykernel", "tornado")}


@pytest.mark.parametrize("module", ["lit_studio.base", "lit_studio.tracking", "lit_studio.extension", "lit_studio.cli"])
def test_the_jupyter_side_loads_no_torch(module):
    assert "torch" not in loaded_by(f"import {module}")


def test_the_server_extension_loads_no_torch_with_all_its_modules():
    walk = (
        "import importlib, pkgutil, lit_studio.extension as room\n"
        "for module in pkgutil.walk_packages(room.__path__, room.__name__ + '.'): importlib.import_module(module.name)"
    )
    assert "torch" not in loaded_by(walk)


def test_unknown_names_are_refused_by_name():
    import lit_studio

    with pytest.raises(AttributeError, match="no_such_name"):
        lit_studio.no_such_name  # noqa: B018
