"""The word rule on dotted names: what a name of Lightning's is called here.

It must not know where names stand in a file.
"""

from __future__ import annotations

import re

# Old distributions split up what is one package now.
_ROOTS = {
    "lightning": "lit_studio",
    "pytorch_lightning": "lit_studio.pytorch",
    "lightning_fabric": "lit_studio.fabric",
}
ROOTS = frozenset(_ROOTS)
# With a word after it, so that neither a file's name nor an address is taken for one.
DOTTED = re.compile(r"(?<![\w./:@-])(lightning\.(?:pytorch|fabric)|pytorch_lightning|lightning_fabric)\.(?=[A-Za-z_])")
CLASS_IN_ROOT = re.compile(r"(?<![\w./:@-])lightning\.(?=[A-Z])")
_WHOLE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def is_theirs(name: str) -> bool:
    """Whether the dotted ``name`` begins with a package of Lightning's."""
    return name.partition(".")[0] in ROOTS


def ours(name: str) -> str:
    """The dotted ``name`` as it is called here; another package's stays."""
    root, dot, rest = name.partition(".")
    return f"{_ROOTS[root]}{dot}{rest}" if root in _ROOTS else name


def in_string(text: str) -> str:
    """A string's content with the names in it replaced, if it is one dotted name and nothing else."""
    name, colon, rest = text.partition(":")  # an entry point's form, module:object
    if not _WHOLE.fullmatch(name) or not is_theirs(name):
        return text
    # The bare word may be anything, and lightning.ai is a site.
    if name == "lightning" or (name.startswith("lightning.") and name.count(".") == 1 and not _known_in_root(name)):
        return text
    return f"{ours(name)}{colon}{rest}"


def in_configuration(line: str) -> str:
    """A line of YAML or TOML with the dotted names in it replaced; its comment stays."""
    code, mark, comment = _without_comment(line)
    code = DOTTED.sub(lambda found: f"{ours(found[1])}.", code)
    return CLASS_IN_ROOT.sub("lit_studio.", code) + mark + comment


def _known_in_root(name: str) -> bool:
    last = name.rpartition(".")[2]
    return last in ("pytorch", "fabric") or last[0].isupper()


def _without_comment(line: str) -> tuple[str, str, str]:
    quote = ""
    for place, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'" and (place == 0 or line[place - 1] in " \t:=[{,(-"):
            quote = letter
        elif letter == "#" and (place == 0 or line[place - 1].isspace()):
            return line[:place], "#", line[place + 1 :]
    return line, "", ""
