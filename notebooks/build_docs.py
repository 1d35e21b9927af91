"""Turn the notebooks, the records and the docstrings into a site that needs no server, and an index for programs.

It must not know what a page says: titles come from the pages, the order from the folders.

Use: ``python notebooks/build_docs.py build/docs``.
"""

from __future__ import annotations

import html
import shutil
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from pdoc import pdoc, render

NOTEBOOKS = Path(__file__).parent
ROOT = NOTEBOOKS.parent
SECTIONS = {
    "guide": "Guide",
    "howto": "How to",
    "reference": "Reference",
    "decisions": "Decisions",
}
API = [
    "lit_studio",
    "lit_studio.callbacks",
    *(f"lit_studio.trainer.{name}" for name in ("loggers", "profilers", "strategies")),
    "lit_studio.studio",
    "lit_studio.tracking",
    *(f"lit_studio.base.{name}" for name in ("errors", "events", "runs", "registry", "settings")),
]
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title} · Lit Studio</title>
<style>
  :root {{ color-scheme: light dark; }}
  body {{ font: 16px/1.6 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; }}
  table {{ border-collapse: collapse; }}
  th, td {{ border-bottom: 1px solid #8884; padding: .3rem .8rem; text-align: left; }}
  code, pre {{ font-family: ui-monospace, monospace; font-size: .9em; }}
  pre {{ background: #8881; padding: .8rem; overflow-x: auto; border-radius: 6px; }}
  img {{ max-width: 100%; }} a {{ color: #4f6bed; }}
</style></head>
<body>{body}</body></html>
"""


@dataclass(frozen=True)
class Page:
    """One page of the site: its title, what it says in a sentence, and where it lies."""

    title: str
    summary: str
    section: str
    path: str


def opening(markdown: str) -> tuple[str, str]:
    """The heading of a text and the first sentence after it; lines too short to be one are passed over."""
    lines = [line.strip() for line in markdown.splitlines()]
    heading = next((i for i, line in enumerate(lines) if line.startswith("# ")), None)
    if heading is None:
        return "", ""
    plain = (line for line in lines[heading + 1 :] if len(line) > 40 and line[0] not in "#|!<`-")
    return lines[heading].removeprefix("# "), next(plain, "")


def notebook_page(source: Path, target: Path) -> tuple[str, str]:
    """Write a notebook as HTML with the outputs that it holds; its title and summary."""
    notebook = nbformat.read(source, as_version=4)
    body, _ = HTMLExporter().from_notebook_node(notebook)
    target.write_text(body, encoding="utf-8")
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return opening("\n".join(texts))


def markdown_page(source: Path, target: Path) -> tuple[str, str]:
    """Write a text as HTML, its links to other texts turned into links to pages; its title and summary."""
    text = source.read_text(encoding="utf-8")
    title, summary = opening(text)
    body = markdown2html(text).replace('.md"', '.html"')
    target.write_text(PAGE.format(title=html.escape(title), body=body), encoding="utf-8")
    return title, summary


def build(target: Path) -> list[Page]:
    """Write the whole site into ``target``, which is emptied first; the pages written."""
    shutil.rmtree(target, ignore_errors=True)
    pages = []
    for section in SECTIONS:
        sources = sorted(path for path in (NOTEBOOKS / section).glob("*") if path.suffix in (".ipynb", ".md"))
        for source in sources:
            destination = target / section / f"{source.stem}.html"
            destination.parent.mkdir(parents=True, exist_ok=True)
            writer = notebook_page if source.suffix == ".ipynb" else markdown_page
            title, summary = writer(source, destination)
            pages.append(Page(title or source.stem, summary, section, f"{section}/{destination.name}"))
            if source.stem != "README":
                shutil.copy(source, destination.parent)
        if (NOTEBOOKS / section / "images").is_dir():
            shutil.copytree(NOTEBOOKS / section / "images", target / section / "images")
    warnings.filterwarnings("ignore", module="pdoc")  # names known to type checkers only: such a type gets no link
    render.configure(docformat="google", search=True, show_source=False)
    pdoc(*API, output_directory=target / "api")
    pages.append(Page("API", "Every public class and function, from its docstring.", "reference", "api/index.html"))
    return pages


def index(pages: list[Page]) -> str:
    """The start page."""
    parts = ["<h1>Lit Studio</h1>"]
    for section, name in SECTIONS.items():
        items = [
            f'<li><a href="{page.path}">{html.escape(page.title)}</a><br>{html.escape(page.summary)}</li>'
            for page in pages
            if page.section == section
        ]
        parts += [f"<h2>{name}</h2><ul>", *items, "</ul>"] if items else []
    return PAGE.format(title="Documentation", body="\n".join(parts))


def llms(pages: list[Page]) -> str:
    """The same as plain text for programs that read documentation: each page's source, as it is in the repository."""
    lines = ["# Lit Studio", "", "> A self-hosted, Jupyter-first studio for PyTorch.", ""]
    for section, name in SECTIONS.items():
        listed = [page for page in pages if page.section == section]
        lines += [f"## {name}", "", *(f"- [{page.title}]({page.path}): {page.summary}" for page in listed), ""]
    return "\n".join(lines)


def main(target: Path) -> None:
    """Build the site into ``target``."""
    pages = build(target)
    (target / "index.html").write_text(index(pages), encoding="utf-8")
    (target / "llms.txt").write_text(llms(pages), encoding="utf-8")
    print(f"{len(pages)} pages: {target / 'index.html'}")  # noqa: T201 - a command's answer


if __name__ == "__main__":
    main(Path(sys.argv[1]))
