"""The table of Lightning's names: complete, true, and of the Lightning that is installed."""

import json

import pytest

from tests.contracts import parity

CLASS = {
    "init": ["accelerator", "nonsense"],
    "members": {"fit": ["model", "loaders"], "validate": ["model", "loaders"], "unfit": []},
}
NAMES = {
    "version": "0",
    "modules": {
        "lightning.pytorch": {"Trainer": "lightning.pytorch.trainer.trainer.Trainer", "Missing": "value"},
        "lightning.pytorch.trainer.trainer": {"Trainer": CLASS},
        "lightning.pytorch.gone": {"Thing": "value"},
        "lightning.pytorch.empty": {},
    },
}
COMPLETE = """
[[no]]
why = "gone"
names = ["pytorch.gone", "pytorch.Missing"]
[[no]]
why = "too small"
names = ["pytorch.trainer.trainer.Trainer(nonsense)"]
rest = ["pytorch.trainer.trainer.Trainer"]
[[differs]]
why = "fits better"
names = ["pytorch.trainer.trainer.Trainer.fit"]
"""


@pytest.fixture
def judge(tmp_path, monkeypatch):
    """Verdicts and faults for the small list above and a file of reasons."""

    def run(reasons):
        (tmp_path / "names.json").write_text(json.dumps(NAMES))
        (tmp_path / "reasons.toml").write_text(reasons)
        monkeypatch.setattr(parity, "NAMES", tmp_path / "names.json")
        monkeypatch.setattr(parity, "REASONS", tmp_path / "reasons.toml")
        parity.is_module.cache_clear()
        return parity.judge()

    yield run
    parity.is_module.cache_clear()


def test_every_name_is_here_or_has_a_reason_and_the_page_says_so():
    page, faults = parity.table()
    assert faults == []
    assert parity.TABLE.read_text(encoding="utf-8") == page, "run `make parity`"


def test_the_names_are_those_of_the_installed_lightning():
    installed = parity.installed_names()
    if installed is None:
        pytest.skip("Lightning is not installed in .venv-peers; `make bench-peers` installs it")
    assert parity.NAMES.read_text(encoding="utf-8") == installed, "run `make parity`"


def test_verdicts(judge):
    verdicts, faults = judge(COMPLETE)
    assert faults == []
    assert {one.item.name: (one.word, one.why) for one in verdicts} == {
        "pytorch": ("yes", ""),
        "pytorch.Trainer": ("yes", ""),
        "pytorch.Missing": ("no", "gone"),
        "pytorch.gone": ("no", "gone"),
        "pytorch.trainer.trainer": ("yes", ""),
        "pytorch.trainer.trainer.Trainer": ("yes", ""),
        "pytorch.trainer.trainer.Trainer(accelerator)": ("yes", ""),
        "pytorch.trainer.trainer.Trainer(nonsense)": ("no", "too small"),
        "pytorch.trainer.trainer.Trainer.fit": ("differs", "fits better"),
        "pytorch.trainer.trainer.Trainer.fit(model)": ("differs", "fits better"),
        "pytorch.trainer.trainer.Trainer.fit(loaders)": ("no", "too small"),
        "pytorch.trainer.trainer.Trainer.validate": ("yes", ""),
        "pytorch.trainer.trainer.Trainer.validate(model)": ("yes", ""),
        "pytorch.trainer.trainer.Trainer.validate(loaders)": ("no", "too small"),
        "pytorch.trainer.trainer.Trainer.unfit": ("no", "too small"),
    }
    page = parity.render(verdicts, "0")
    assert "- `Missing`: no (gone)" in page
    assert "  - members, differs (fits better): `fit`" in page
    assert "  - members, yes: `validate(model)`" in page
    assert "  - arguments of methods, no (too small): `fit(loaders)`, `validate(loaders)`" in page
    assert "  - arguments, yes: `accelerator`" in page
    assert "- the module: no (gone)" in page


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ('"pytorch.Missing"', "", "pytorch.Missing (name) is not here and has no reason"),
        ('"pytorch.gone", ', "", "pytorch.gone (module) is not here and has no reason"),
        ('"pytorch.Missing"', '"pytorch.Missing", "pytorch.Trainer"', "pytorch.Trainer is here now"),
        ('"pytorch.Missing"', '"pytorch.Missing", "pytorch.Never"', "'pytorch.Never' names nothing"),
        ('rest = ["', 'rest = ["pytorch.other", "', "nothing is missing any more in 'pytorch.other'"),
    ],
)
def test_faults_are_found(judge, before, after, fault):
    assert before in COMPLETE
    _, faults = judge(COMPLETE.replace(before, after))
    assert any(one.startswith(fault) for one in faults), faults
