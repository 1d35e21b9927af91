"""Run the benchmarks: all of them, or those that are named.

It must not know what they measure.

Use: ``python -m tests.benchmarks [NAME …]``.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

NAMES = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))


def main(names: list[str]) -> int:
    """Run the benchmarks called ``names``, all if empty; 2 if one is unknown."""
    if unknown := [name for name in names if name not in NAMES]:
        print(f"No such benchmark: {', '.join(unknown)}. There are: {', '.join(NAMES)}.", file=sys.stderr)
        return 2
    for name in names or NAMES:
        print(f"\n──── {name}", flush=True)
        importlib.import_module(f"tests.benchmarks.bench_{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
