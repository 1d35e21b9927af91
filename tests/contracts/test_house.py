"""The house's rules hold in the tree as it is; it must not know how a rule is checked."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.contracts import changes, checks, surface

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "lit_studio"
LABEXTENSION = ROOT / "labextension" / "src"
TESTS = ROOT / "tests"
# Put together here, so that this file doesn't name them either.
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("anaconda", "org"),
        ("download", "pytorch", "org"),
        ("deb", "debian", "org"),
    )
]
# Roots of containers and the places of this very checkout and user; the lookbehind leaves URLs and joined paths alone.
PLACES = [r"/(?:root|work)/\w", re.escape(str(ROOT)), re.escape(str(Path.home()))]
MACHINE_PATH = re.compile(rf"(?<![\w.:/$}})~-])(?:{'|'.join(PLACES)})")


def tracked_files() -> list[Path]:
    """Text files under version control, or all sources where there is no repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no repository here")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:8192]]


def test_files_are_short():
    sources = [*checks.python_files(PACKAGE), *checks.python_files(TESTS), *checks.typescript_files(LABEXTENSION)]
    assert len(sources) > 20
    assert checks.long_files(sources, ROOT) == []


def test_functions_are_short():
    assert checks.long_functions(PACKAGE) == []


def test_names_say_something():
    sources = [*checks.python_files(PACKAGE), *checks.python_files(TESTS), *checks.typescript_files(LABEXTENSION)]
    assert checks.banned_names(sources, ROOT) == []


def test_rooms_keep_their_budgets():
    assert checks.outgrown_rooms(PACKAGE) == []


def test_the_spine_can_be_read_in_one_sitting():
    assert (PACKAGE / "trainer" / "trainer.py").is_file()
    assert (PACKAGE / "trainer" / "loop.py").is_file()
    assert checks.outgrown_spine(PACKAGE) == []


def test_modules_open_with_their_job():
    assert checks.openings(PACKAGE) == []


def test_typescript_files_open_with_their_job():
    assert checks.typescript_openings(LABEXTENSION) == []


def test_errors_are_studio_errors():
    assert checks.foreign_errors(PACKAGE) == []


def test_the_public_surface_is_as_agreed():
    assert surface.difference() == [], "run `make surface` if the change is meant"


def test_the_changelog_has_something_to_say():
    assert changes.faults(ROOT) == []


def test_no_registry_is_named():
    named = [
        f"{path.relative_to(ROOT)}: {host}"
        for path in tracked_files()
        for host in REGISTRIES
        if host in path.read_text(encoding="utf-8", errors="replace")
    ]
    assert named == []


def test_no_path_of_a_machine_is_written_down():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in tracked_files()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert found == []


def test_decision_records_are_numbered_and_complete():
    records = sorted((ROOT / "notebooks" / "decisions").glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    parts = ["## Context", "## Choice", "## What was measured", "## What would change our mind"]
    for path in records:
        text = path.read_text(encoding="utf-8")
        assert [part for part in parts if part not in text] == [], path.name


def test_every_guide_travels_with_the_package():
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    taken = configuration["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    guides = sorted(path.name for path in (ROOT / "notebooks" / "guide").glob("*.ipynb"))
    assert taken == {f"notebooks/guide/{name}": f"lit_studio/_guide/{name}" for name in guides}
    assert guides
