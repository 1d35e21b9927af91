"""The README's Python runs as it is, and its links lead somewhere; it must not know what the code shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = ["README.md", "CONTRIBUTING.md", *(str(path.relative_to(ROOT)) for path in (ROOT / "notebooks").rglob("*.md"))]


def test_the_first_lines_run_as_they_are(tmp_path):
    (code,) = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    run = tmp_path / "lightning_logs" / "version_0"
    assert (run / "metrics.csv").is_file()
    assert list((run / "checkpoints").glob("*.ckpt"))


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name):
    path = ROOT / name
    links = re.findall(r"\]\((?!\w+:)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []
