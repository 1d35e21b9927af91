"""``lit-studio migrate``: what a person sees, what is written, and which status ends it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lit_studio.cli import main

GOOD = "import lightning as L  # the trainer\n\ntrainer = L.Trainer(max_epochs=1)\n"
BAD = "from lightning.pytorch.accelerators import XLAAccelerator\n"


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    """Call ``lit-studio migrate`` in a folder of its own: ``status, stdout, stderr``."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["migrate", *map(str, arguments)])
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


def test_the_diff_is_shown_and_nothing_is_written(call, tmp_path):
    (tmp_path / "train.py").write_text(GOOD)
    status, out, err = call("train.py")
    assert status == 0
    assert out.splitlines()[:4] == [
        "--- a/train.py",
        "+++ b/train.py",
        "@@ -1,3 +1,3 @@",
        "-import lightning as L  # the trainer",
    ]
    assert err.splitlines() == [
        "1 file to change, nothing that is not supported.",
        "Change them with: lit-studio migrate train.py --write",
    ]
    assert (tmp_path / "train.py").read_text() == GOOD


def test_the_diff_is_one_that_git_applies(call, tmp_path):
    (tmp_path / "train.py").write_text(GOOD)
    _, out, _ = call("train.py")
    subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=out, text=True, check=True)
    assert (tmp_path / "train.py").read_text() == GOOD.replace("lightning", "lit_studio")


def test_what_is_not_supported_is_told_with_its_place_and_ends_with_1(call, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "tpu.py").write_text(BAD)
    (tmp_path / "train.py").write_text(GOOD)
    status, _, err = call(".")
    assert status == 1
    lines = err.splitlines()
    assert lines[0] == (
        "✗ src/tpu.py:1: lightning.pytorch.accelerators.XLAAccelerator: TPUs: hardware that is not supported"
    )
    assert lines[1].startswith('    Train on `accelerator="auto"`')
    assert lines[2] == "2 files to change, 1 name that is not supported."


def test_writing_changes_the_files_once(call, tmp_path):
    (tmp_path / "train.py").write_text(GOOD)
    status, _, err = call(".", "--write")
    assert status == 0
    assert (tmp_path / "train.py").read_text() == GOOD.replace("lightning", "lit_studio")
    assert (tmp_path / "train.py.orig").read_text() == GOOD
    assert "1 file changed, nothing that is not supported." in err
    assert "train.py.orig" in err
    assert call(".", "--write") == (0, "", ".: nothing here names Lightning.\n")
    assert call("train.py") == (0, "", "train.py: nothing to change.\n")


def test_what_git_has_needs_no_copy(call, tmp_path):
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com"]
    for name in ("kept.py", "edited.py"):
        (tmp_path / name).write_text(GOOD)
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    (tmp_path / "edited.py").write_text(f"{GOOD}# not committed\n")
    (tmp_path / "new.py").write_text(GOOD)
    call(".", "--write")
    copies = {path.name for path in tmp_path.glob("*.orig")}
    assert copies == {"edited.py.orig", "new.py.orig"}


def test_json_is_one_object(call, tmp_path):
    (tmp_path / "tpu.py").write_text(BAD)
    status, out, err = call(".", "--json", "--write")
    told = json.loads(out)
    assert (status, err, told["changed"], told["unsupported"]) == (1, "", 1, 1)
    (file,) = told["files"]
    assert (file["path"], file["changed"]) == ("tpu.py", True)
    assert "+from lit_studio.pytorch.accelerators import XLAAccelerator" in file["diff"]
    (finding,) = file["findings"]
    assert set(finding) == {"line", "name", "reason", "advice", "kind", "cell"}
    assert told["written"] == [{"path": "tpu.py", "backup": "tpu.py.orig"}]


def test_what_is_not_there_ends_with_3_and_what_is_no_source_with_2(call, tmp_path):
    status, _, err = call("nothing")
    assert (status, err.startswith("Error: There is no such file or folder")) == (3, True)
    (tmp_path / "notes.md").write_text("lightning\n")
    status, out, _ = call("notes.md", "--json")
    assert (status, "not migrated" in json.loads(out)["error"]["message"]) == (2, True)


def test_a_pipe_gets_no_colours_and_no_torch_is_loaded(tmp_path):
    (tmp_path / "train.py").write_text(GOOD)
    code = (
        "import sys; from lit_studio.cli import main\n"
        "try: main(['migrate', 'train.py'])\n"
        "except SystemExit: print([name for name in ('torch', 'numpy', 'jupyter_client') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "\x1b" not in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
