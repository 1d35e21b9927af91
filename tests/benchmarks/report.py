"""How a benchmark says its result: one line a claim, in one form.

It must not know what was measured.
"""

from __future__ import annotations


def result(claim: str, *, ours: float, peer: str, theirs: float, target: float) -> str:
    """Print and return a claim's line.

    Args:
        claim: ``bench.claim``, for instance ``loop.step``.
        ours: our figure; smaller is better.
        peer: whom we compare with.
        theirs: the peer's figure from the same run, in the same unit.
        target: the ratio ours / theirs that we promise not to exceed.
    """
    ratio = ours / theirs
    verdict = "holds" if ratio <= target else "short"
    line = f"RESULT {claim} ours={ours:.4g} peer={peer}:{theirs:.4g} ratio={ratio:.3g} target<={target:g} {verdict}"
    print(line, flush=True)
    return line


def table(header: list[str], rows: list[list[str]]) -> None:
    """Print ``rows`` under ``header``, the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        cells = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells), flush=True)
