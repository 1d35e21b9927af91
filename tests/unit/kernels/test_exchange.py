"""A file gets its outputs without losing anybody's edit: whoever writes it, and at whatever moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from lit_studio.kernels import exchange
from lit_studio.kernels.exchange import Reading, replace
from lit_studio.kernels.homecoming import bring_home, dump
from tests.unit.kernels.test_homecoming import notebook, ran, shown


def leftovers(folder, *known):
    return sorted(path.name for path in folder.iterdir() if path.name not in known)


def test_a_file_that_holds_what_was_read_gets_its_new_content(tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_bytes(b"old")
    path.chmod(0o640)
    reading = Reading.of(path)
    assert replace(reading, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert not reading.is_current()
    assert leftovers(tmp_path, "a.ipynb") == []


@pytest.mark.parametrize("how", ["in place", "rename", "touch", "remove"])
def test_a_file_that_has_changed_is_left_alone(tmp_path, how):
    path = tmp_path / "a.ipynb"
    path.write_bytes(b"old")
    reading = Reading.of(path)
    if how == "in place":
        path.write_bytes(b"edited")
    elif how == "rename":
        (tmp_path / "t").write_bytes(b"edited")
        (tmp_path / "t").rename(path)
    elif how == "touch":
        os.utime(path, (1, 1))
    else:
        path.unlink()
    assert not replace(reading, b"new")
    assert (path.read_bytes() if path.exists() else None) == {"touch": b"old", "remove": None}.get(how, b"edited")
    assert leftovers(tmp_path, "a.ipynb") == []


@pytest.fixture
def no_leases(monkeypatch):
    """As on a file system without leases, where the looks before and after are all there is."""
    monkeypatch.setattr(exchange, "_lease", lambda *_: False)


@pytest.mark.usefixtures("no_leases")
@pytest.mark.parametrize("how", ["in place", "rename"])
def test_an_edit_in_the_very_last_moment_goes_back(tmp_path, monkeypatch, how):
    path = tmp_path / "a.ipynb"
    path.write_bytes(b"old")
    swap, edits = exchange._exchange, iter([b"edited"])

    def edit_first(one, other):
        for content in edits:
            if how == "rename":
                (tmp_path / "t").write_bytes(content)
                (tmp_path / "t").rename(path)
            else:
                path.write_bytes(content)
        swap(one, other)

    monkeypatch.setattr(exchange, "_exchange", edit_first)
    assert not replace(Reading.of(path), b"new")
    assert path.read_bytes() == b"edited"
    assert leftovers(tmp_path, "a.ipynb") == []


@pytest.mark.usefixtures("no_leases")
def test_two_edits_in_the_very_last_moment_are_both_kept(tmp_path, monkeypatch):
    path = tmp_path / "a.ipynb"
    path.write_bytes(b"old")
    swap = exchange._exchange

    def between(one, other):
        path.write_bytes(b"first")
        swap(one, other)
        path.write_bytes(b"second, made from ours")

    monkeypatch.setattr(exchange, "_exchange", between)
    assert not replace(Reading.of(path), b"new")
    assert path.read_bytes() == b"second, made from ours"
    assert (tmp_path / "a.conflict.ipynb").read_bytes() == b"first"


def test_an_editor_that_has_the_file_open_is_waited_for(tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_bytes(b"old")
    code = "import sys,time; f=open(sys.argv[1],'r+'); print(flush=True); time.sleep(.5); f.write('NEW'); f.close()"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as editor:
        editor.stdout.readline()
        assert Reading.of(path).content == b"NEW"  # read after it was closed


@pytest.mark.parametrize("leases", [True, False])
def test_an_editor_that_opens_the_file_just_before_the_exchange_keeps_its_edit(tmp_path, monkeypatch, leases):
    path = tmp_path / "a.ipynb"
    path.write_bytes(b"old")
    reading = Reading.of(path)
    swap, lease, editors = exchange._exchange, exchange._lease, []
    if not leases:  # as if the editor had been on its way since before the lease
        monkeypatch.setattr(exchange, "_lease", lambda *file: lease(*file) if editors else False)
    code = "import sys,time; f=open(sys.argv[1],'r+'); print(flush=True); time.sleep(.3); f.write('EDT'); f.close()"

    def opened_before(one, other):
        if not editors:
            editors.append(subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE))
            if leases:
                time.sleep(1)  # it waits for the lease's end
            else:
                editors[0].stdout.readline()
        swap(one, other)

    monkeypatch.setattr(exchange, "_exchange", opened_before)
    assert not replace(reading, b"new")
    editors[0].communicate()
    assert path.read_bytes() == b"EDT"
    assert leftovers(tmp_path, "a.ipynb") == []


def test_links_stay_links(tmp_path):
    path, other, link = tmp_path / "a.ipynb", tmp_path / "b.ipynb", tmp_path / "link.ipynb"
    path.write_bytes(b"old")
    other.hardlink_to(path)
    link.symlink_to("a.ipynb")
    assert replace(Reading.of(link), b"newer")
    assert link.is_symlink()
    assert other.read_bytes() == path.read_bytes() == b"newer"
    assert other.samefile(path)
    stale = Reading.of(path)
    path.write_bytes(b"edited")
    assert not replace(stale, b"lost")
    assert other.read_bytes() == b"edited"
    assert leftovers(tmp_path, "a.ipynb", "b.ipynb", "link.ipynb") == []


def test_without_an_exchange_the_look_before_has_to_do(tmp_path, monkeypatch):
    def cannot(one, other):
        raise OSError(exchange.errno.EINVAL, "no")

    monkeypatch.setattr(exchange, "_exchange", cannot)
    path = tmp_path / "a.ipynb"
    path.write_bytes(b"old")
    assert replace(Reading.of(path), b"new")
    assert path.read_bytes() == b"new"
    assert leftovers(tmp_path, "a.ipynb") == []


def test_whoever_says_stop_is_heard(tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_bytes(b"old")
    assert not replace(Reading.of(path), b"new", go_on=lambda: False)
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path, "a.ipynb") == []
    with pytest.raises(FileNotFoundError):
        Reading.of(tmp_path / "none")


# Hammered ------------------------------------------------------------------------------------------------------------

EDITS = 1000
EDITOR = """
import json, os, random, sys, time
path, how, edits, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
rng, lost, expected, done = random.Random(seed), 0, 0, 0
while done < edits:
    try:
        with open(path) as file:
            book = json.load(file)
    except (ValueError, FileNotFoundError):
        continue
    value = int("".join(book["cells"][1]["source"]))
    lost += value != expected
    expected = value + 1
    book["cells"][1]["source"] = [str(expected)]
    if how == "rename":
        with open(path + ".t", "w") as file:
            json.dump(book, file, indent=1)
        os.replace(path + ".t", path)
    else:
        with open(path, "w") as file:
            json.dump(book, file, indent=1)
    done += 1
    time.sleep(rng.random() * 0.004)
with open(path) as file:
    lost += int("".join(json.load(file)["cells"][1]["source"])) != expected
print(lost)
"""


@pytest.mark.parametrize("how", ["in place", "rename"])
def test_no_edit_and_no_output_is_lost_under_hammering(tmp_path, how):
    """An editor at full speed against a writer at full speed; one that overwrites outputs gets them again."""
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(notebook("print('r')", "0", *["x = 'some text to write'"] * 50), indent=1))
    command = [sys.executable, "-c", EDITOR, str(path), how, str(EDITS), "7"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as editor:
        writes = rounds = 0
        while editor.poll() is None:
            rounds += write_once(path, rounds)
            writes += 1
        lost = int(editor.communicate()[0])
    # An editor may have read the file in the very moment between the exchange and its undoing: then both are kept.
    kept = len(leftovers(tmp_path, "a.ipynb"))
    assert lost <= kept <= 2, f"{lost} of {EDITS} edits were lost in {writes} writes, {kept} were kept beside"
    assert write_once(path, 10**6) or write_once(path, 10**6)
    book = json.loads(path.read_text())
    assert shown(book)[:2] == [("print('r')", "round 1000000"), (str(EDITS), "")]
    assert rounds > 20
    assert all(".conflict" in name for name in leftovers(tmp_path, "a.ipynb"))


def write_once(path, round_):
    try:
        before = Reading.of(path)
        book = json.loads(before.content)
    except (ValueError, FileNotFoundError):
        return False
    bring_home(book, [ran("r", "print('r')", "cell-0", f"round {round_}")])
    return replace(before, dump(book, before.content))
