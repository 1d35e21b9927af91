"""Whether the changelog has something to say: a fragment in ``notebooks/changes/``, or a release made of them.

It must not know what changed; it looks at names and at the configuration of towncrier.

Use: ``python -m tests.contracts.changes``.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def faults(root: Path) -> list[str]:
    """What is wrong with the fragments under ``root``, one line each."""
    configuration = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    types = [entry["directory"] for entry in configuration["tool"]["towncrier"]["type"]]
    folder = root / configuration["tool"]["towncrier"]["directory"]
    fragments = [path for path in sorted(folder.iterdir()) if path.name not in ("README.md", ".gitignore")]
    shape = re.compile(rf"(?:\d+|\+[\w-]+)\.(?:{'|'.join(types)})(?:\.\d+)?\.md")
    found = [
        f"{path.name}: not of the form ISSUE.TYPE.md with TYPE one of {', '.join(types)}"
        for path in fragments
        if not shape.fullmatch(path.name)
    ]
    found += [f"{path.name}: empty" for path in fragments if not path.read_text(encoding="utf-8").strip()]
    released = f"## {configuration['project']['version']} " in (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if not fragments and not released:
        found.append(f"no fragment in {folder.relative_to(root)}; add one, as CONTRIBUTING.md says")
    return found


if __name__ == "__main__":
    found = faults(ROOT)
    print("\n".join(found) or "The changelog fragments are in order.")
    sys.exit(bool(found))
