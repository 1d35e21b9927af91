"""The documentation builds, and its index leads to pages that exist; it must not know what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_documentation_builds(tmp_path):
    command = [sys.executable, str(ROOT / "notebooks" / "build_docs.py"), str(tmp_path / "docs")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    docs = tmp_path / "docs"
    links = re.findall(r'href="([^":#]+)"', (docs / "index.html").read_text(encoding="utf-8"))
    listed = re.findall(r"\]\(([^)]+)\)", (docs / "llms.txt").read_text(encoding="utf-8"))
    assert sorted(links) == sorted(listed)
    assert [link for link in links if not (docs / link).is_file()] == []
    assert {"guide/01-quickstart.html", "api/index.html", "decisions/0001-two-towers.html"} <= set(links)
    assert 'id="Trainer.fit"' in (docs / "api" / "lit_studio.html").read_text(encoding="utf-8")
