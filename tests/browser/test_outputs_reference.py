"""JupyterLab is the reference: what it saves with its page open is what our reducer makes of the same run."""

from __future__ import annotations

import json
import random
from datetime import datetime
from pathlib import Path

import nbformat
import pytest

from lit_studio.kernels.homecoming import bring_home
from lit_studio.kernels.outcomes import KernelOutcomes
from lit_studio.kernels.places import KernelPlace
from tests.browser.lab import Lab, Server, wait_for

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGD4DwABBAEAX+XDSwAAAABJRU5ErkJggg=="
TORTURE = [
    "import sys, time\n"
    "from IPython.display import HTML, Image, Javascript, Markdown, clear_output, display, update_display\n"
    "import ipywidgets as widgets",
    "for i in range(5): print('line', i); time.sleep(.02)\nprint('err', file=sys.stderr); print('out again')",
    "for i in range(20): print(f'\\r{i}/20 ' + '#' * i, end='', flush=True); time.sleep(.01)\nprint()",
    "print('abc\\b\\bX\\r\\nnext', end='', flush=True); print('\\x08\\x08YY\\rZ')\n"
    "print('😀 ünï\\u2028x\\x0by\\x1b[31mred')",
    "h = display('first', display_id=True)\n"
    "display(HTML('<b>bold</b>'), Markdown('# m\\n\\ntext'), metadata={'text/html': {'isolated': True}})\n"
    "print('p'); h.update('second')",
    "for i in range(5): clear_output(wait=True); print('frame', i); display(i); time.sleep(.02)",
    "print('gone'); clear_output(); print('kept')",
    "print('stays'); clear_output(wait=True)",
    "h.update('third, from another cell'); display('again', display_id=h.display_id); 40 + 2",
    "h.update(HTML('<i>fourth</i>'))",
    "o = widgets.Output()\nwith o:\n    print('inside'); display('also'); h.update('swallowed?')\nprint('after'); o",
    "@o.capture(clear_output=True, wait=True)\ndef f(): print('captured'); return 1\nf(); print('not captured'); f()",
    "inner = widgets.Output()\nwith o:\n    print('outer')\n    with inner: print('inner')\n"
    "    print('outer again')\nprint('free')",
    "import threading\n"
    "t = threading.Thread(target=lambda: (time.sleep(.4), print('from a thread, later'), display('and shown')))\n"
    "t.start(); print('begun')",
    "for i in range(300): display(i) if i % 7 else print(i)",
    "display({'application/json': {'b': [1, 2.5, None], 'a': {'c': 'x\\ny'}}, 'text/plain': 'j'}, raw=True)\n"
    "display({'image/svg+xml': '<svg>\\n</svg>', 'text/latex': '$x$\\n$y$', 'text/plain': ''}, raw=True)",
    f"import base64\nImage(base64.b64decode('{PIXEL}'))",
    "print('a' * 5000); print('\\n' * 3)\nNone",
    "h.update('last'); print('x'); 1 / 0",
    "print('never runs')",
]


@pytest.fixture(scope="module")
def server(browser, tmp_path_factory):
    """A server whose kernels keep a journal."""
    server = Server(tmp_path_factory.mktemp("journals"), "--LitStudioApp.persistent_kernels=True")
    yield server
    server.stop()


def random_cells(seed: int, count: int = 6) -> list[str]:
    """Programs that print, display, update and clear in any order, in cells and in Output widgets."""
    rng = random.Random(seed)

    def text() -> str:
        return "".join(
            rng.choice(["a", "bc", "é", "\n", "\n", "\r", "\b", "xyz", " "]) for _ in range(rng.randint(1, 8))
        )

    def act(depth: int) -> list[str]:
        kind = rng.choice(["print"] * 5 + ["err", "show", "name", "name", "update", "update", "clear", "wait", "with"])
        name = f"'d{rng.randrange(4)}'"
        if kind == "with":
            inner = [line for _ in range(rng.randint(1, 4)) for line in act(depth + 1)] if depth < 2 else ["pass"]
            return [f"with outs[{depth}]:", *(f"    {line}" for line in inner)]
        return [
            {
                "print": f"print({text()!r}, end='', flush=True)",
                "err": f"sys.stderr.write({text()!r}); sys.stderr.flush()",
                "show": f"display({text()!r})",
                "name": f"display({text()!r}, display_id={name})",
                "update": f"update_display({text()!r}, display_id={name})",
                "clear": "clear_output()",
                "wait": "clear_output(wait=True)",
            }[kind]
        ]

    first = "import sys\nfrom IPython.display import *\nimport ipywidgets as widgets\n"
    first += "outs = [widgets.Output() for _ in range(3)]"
    cells = [[line for _ in range(25) for line in act(0)] for _ in range(count)]
    return [first, *("\n".join(lines) for lines in cells), f"{text()!r}"]


def write(path: Path, sources: list[str]) -> dict:
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{index}") for index, source in enumerate(sources)]
    spec = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    text = nbformat.writes(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec}))
    path.write_text(text + "\n", encoding="utf-8")
    return json.loads(text)


def place_of(lab: Lab) -> KernelPlace:
    """The folder of the kernel of the notebook in front."""
    kernel_id = lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.id")
    return KernelPlace(lab.server.folder / "runtime" / "lit-studio" / "kernels" / kernel_id)


def saved_by_jupyterlab(lab: Lab, path: Path, cells: int) -> dict:
    """Run all with the page open, save, and give what it wrote."""
    lab.run_all()
    last = f"window.jupyterapp.shell.currentWidget.content.widgets[{cells - 1}].model.executionState"
    lab.page.wait_for_function(f"() => {last} === 'idle'", timeout=120_000)
    lab.wait_for_kernel()
    lab.page.wait_for_timeout(1000)  # a thread prints
    lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.save()")
    lab.wait_until_saved()
    return json.loads(path.read_text())


def compare(ours: dict, theirs: dict) -> list[str]:
    """The cells that differ, with what differs."""
    return [
        f"{index} {key}: {json.dumps(mine[key])[:1500]}\n  JupyterLab: {json.dumps(reference[key])[:1500]}"
        for index, (mine, reference) in enumerate(zip(ours["cells"], theirs["cells"], strict=True))
        for key in ("source", "outputs", "execution_count")
        if mine[key] != reference[key]
    ]


def seconds_apart(one: str, other: str) -> float:
    first, second = (datetime.fromisoformat(text.replace("Z", "+00:00")) for text in (one, other))
    return abs((first - second).total_seconds())


def test_torture_cells_come_out_as_jupyterlab_saves_them(open_lab, server):
    path = server.root / "reference.ipynb"
    ours = write(path, TORTURE)
    lab = open_lab(path.name)
    lab.set_setting("@jupyterlab/notebook-extension:tracker", "recordTiming", True)
    theirs = saved_by_jupyterlab(lab, path, len(TORTURE))
    requests = KernelOutcomes(place_of(lab)).requests()
    bring_home(ours, requests)
    assert not compare(ours, theirs)
    assert [one.state for one in requests] == ["done"] * (len(TORTURE) - 1) + ["aborted"]
    for index, (mine, reference) in enumerate(zip(ours["cells"][:-1], theirs["cells"], strict=False)):
        timing, expected = mine["metadata"]["execution"], reference["metadata"]["execution"]
        assert sorted(timing) == sorted(expected), index
        for key, value in timing.items():
            assert value == expected[key] or (key.startswith("shell.") and seconds_apart(value, expected[key]) < 0.5)
    lab.set_setting("@jupyterlab/notebook-extension:tracker", "recordTiming", False)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_programs_come_out_as_jupyterlab_saves_them(open_lab, server, seed):
    path = server.root / f"random-{seed}.ipynb"
    sources = random_cells(seed)
    ours = write(path, sources)
    lab = open_lab(path.name)
    theirs = saved_by_jupyterlab(lab, path, len(sources))
    bring_home(ours, KernelOutcomes(place_of(lab)).requests())
    assert not compare(ours, theirs), f"seed {seed}"
    assert sum(len(cell["outputs"]) for cell in theirs["cells"]) > 3


def test_the_same_cells_run_with_the_page_closed_are_in_the_file(open_lab, server):
    """From the first cell on nobody looks; the file then says what it says after a run with the page open."""
    sources = ["import time; time.sleep(3)", *TORTURE[:10], "print('end')"]
    path = server.root / "closed.ipynb"
    write(path, sources)
    lab = open_lab(path.name)
    reference = saved_by_jupyterlab(lab, path, len(sources))
    lab.close()
    other = server.root / "alone.ipynb"
    write(other, sources)
    lab = open_lab(other.name)
    lab.run_all()
    lab.page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.content.widgets[0].model.executionState === 'running'"
    )
    lab.close()
    wait_for(lambda: json.loads(other.read_text())["cells"][-1]["outputs"], "the notebook is complete", 60)
    ours = json.loads(other.read_text())
    assert not compare(ours, reference)
    lab = open_lab(other.name)  # and a page that opens it now shows it, trusts it, and asks nothing
    lab.page.wait_for_timeout(1000)
    assert lab.page.locator(".jp-Dialog").count() == 0
    trusted = "() => window.jupyterapp.shell.currentWidget.content.widgets.every(cell => cell.model.trusted)"
    assert lab.page.evaluate(trusted)
