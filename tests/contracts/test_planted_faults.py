"""Each of the house's checks catches a fault planted in a copy of the package, and names it.

It must not know the real tree beyond copying it: a check that can't fail proves nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contracts import checks

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path):
    """A copy of the package with its configuration, to plant a fault in."""
    ignored = shutil.ignore_patterns("__pycache__", "labextension", "static")
    shutil.copytree(ROOT / "lit_studio", tmp_path / "lit_studio", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def layers(root: Path) -> subprocess.CompletedProcess[str]:
    """The layer check as ``make check`` runs it, over ``root``."""
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
        "--no-cache",
    ]
    return subprocess.run(
        command, cwd=root, capture_output=True, text=True, env={"PATH": "", "PYTHONPATH": str(root), "COLUMNS": "200"}
    )


def test_layers_hold_in_the_copy(copy):
    result = layers(copy)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("planted_in", "line", "contract", "named"),
    [
        ("base/events.py", "import lit_studio.tracking", "floors", "lit_studio.base.events -> lit_studio.tracking"),
        (
            "trainer/planted.py",
            "import lit_studio.widgets",
            "floors",
            "lit_studio.trainer.planted -> lit_studio.widgets",
        ),
        (
            "tracking/planted.py",
            "import lit_studio.trainer",
            "floors",
            "lit_studio.tracking.planted -> lit_studio.trainer",
        ),
        ("extension/planted.py", "import torch", "never imports torch", "lit_studio.extension.planted -> torch"),
        ("trainer/planted.py", "import IPython", "never imports Jupyter", "lit_studio.trainer.planted -> IPython"),
        ("base/planted.py", "import numpy", "standard library only", "lit_studio.base.planted -> numpy"),
    ],
)
def test_an_import_against_the_floors_is_caught(copy, planted_in, line, contract, named):
    with (copy / "lit_studio" / planted_in).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    result = layers(copy)
    assert result.returncode != 0
    broken = [text for text in result.stdout.splitlines() if " BROKEN" in text]
    assert any(contract in text for text in broken), result.stdout
    assert named in result.stdout


def test_a_lazy_import_against_the_floors_is_caught(copy):
    body = '"""A planted module."""\n\n\ndef late() -> None:\n    """Import when called."""\n    import torch\n'
    (copy / "lit_studio" / "extension" / "planted.py").write_text(body, encoding="utf-8")
    result = layers(copy)
    assert result.returncode != 0
    assert "lit_studio.extension.planted -> torch" in result.stdout


def test_a_handler_without_authentication_is_caught(copy):
    handlers = copy / "lit_studio" / "extension" / "handlers" / "__init__.py"
    planted = (
        "class Planted(LitStudioHandler):\n"
        "    async def get(self) -> None:\n"
        "        await self.finish({})\n\n\n"
        'ROUTES["planted"] = Planted\n'
    )
    handlers.write_text(f"{handlers.read_text(encoding='utf-8')}\n\n{planted}", encoding="utf-8")
    for name in ("conftest.py", "server/conftest.py", "server/test_access.py"):
        target = copy / "tests" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "tests" / name, target)
    wanted = "tests/server/test_access.py::test_no_route_answers_without_a_token"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", wanted]
    result = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "1 failed" in result.stdout
    assert "/lit-studio/api/planted" in result.stdout


def test_a_long_function_is_caught(copy):
    body = "\n".join(["class Planted:", "    async def lengthy(self):", *["        x = 1"] * 79])
    (copy / "lit_studio" / "base" / "planted.py").write_text(body, encoding="utf-8")
    assert checks.long_functions(copy / "lit_studio") == [
        "lit_studio/base/planted.py:2: Planted.lengthy has 80 lines, 60 allowed"
    ]


def test_a_long_file_is_caught(copy):
    path = copy / "lit_studio" / "base" / "planted.py"
    path.write_text("x = 1\n" * 501, encoding="utf-8")
    assert checks.long_files([path], copy) == ["lit_studio/base/planted.py: 501 lines, 500 allowed"]


def test_a_door_may_have_the_name_that_code_imports(tmp_path):
    door = tmp_path / "lit_studio" / "pytorch" / "utilities" / "__init__.py"
    assert checks.banned_names([door], tmp_path) == []


@pytest.mark.parametrize("name", ["utils.py", "_helpers.py", "common/x.py", "misc.test.ts", "manager.py"])
def test_a_name_that_says_nothing_is_caught(tmp_path, name):
    assert checks.banned_names([tmp_path / "base" / name], tmp_path) == [f"base/{name}"]


def test_an_outgrown_room_is_caught(copy):
    (copy / "lit_studio" / "trainer" / "planted.py").write_text("x = 1\n" * 9_001, encoding="utf-8")
    (found,) = checks.outgrown_rooms(copy / "lit_studio")
    assert found.startswith("trainer/: ")


def test_an_outgrown_spine_is_caught(copy):
    with (copy / "lit_studio" / "trainer" / "loop.py").open("a", encoding="utf-8") as file:
        file.write("x = 1\n" * 1_601)
    (found,) = checks.outgrown_spine(copy / "lit_studio")
    assert "loop.py" in found


def test_a_module_without_its_opening_is_caught(tmp_path):
    package = tmp_path / "lit_studio"
    package.mkdir()
    (package / "silent.py").write_text("x = 1\n", encoding="utf-8")
    (package / "half.py").write_text('"""Adds numbers."""\n', encoding="utf-8")
    (package / "whole.py").write_text('"""Adds numbers. It must not know whose they are."""\n', encoding="utf-8")
    assert checks.openings(package) == [
        "lit_studio/half.py: the docstring doesn't say what the module must not know",
        "lit_studio/silent.py: no docstring",
    ]


def test_a_typescript_file_without_its_opening_is_caught(tmp_path):
    source = tmp_path / "src"
    source.mkdir()
    (source / "half.ts").write_text("// Adds numbers.\nexport const x = 1; // it must not know\n", encoding="utf-8")
    (source / "whole.tsx").write_text(
        "/**\n * Adds numbers. It must\n * not know whose they are.\n */\n", encoding="utf-8"
    )
    assert checks.typescript_openings(source) == [
        "src/half.ts: the opening comment doesn't say what the file must not know"
    ]


def test_a_foreign_error_is_caught(tmp_path):
    package = tmp_path / "lit_studio"
    package.mkdir()
    raising = ('ValueError("no")', "NotImplementedError", "RuntimeError")
    body = "\n".join(f"def f{number}():\n    raise {error}" for number, error in enumerate(raising))
    (package / "planted.py").write_text(body, encoding="utf-8")
    assert checks.foreign_errors(package) == [
        "lit_studio/planted.py:2: raises ValueError, not a StudioError",
        "lit_studio/planted.py:6: raises RuntimeError, not a StudioError",
    ]
