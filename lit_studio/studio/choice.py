"""Finding the run that a person means: by id, by place, or simply the last one.

It must not know what is done with the run.
"""

from __future__ import annotations

import os
from pathlib import Path

from lit_studio.base.errors import InvalidTypeError, RunNotFoundError
from lit_studio.base.runs import RunDirectory, find_run, list_runs

LAST = "@last"


def choose_run(run: RunDirectory | str | os.PathLike[str] | None = None) -> RunDirectory:
    """The run that ``run`` means.

    Args:
        run: a run; the beginning of its id (at least 4 characters); its directory (``lightning_logs/version_3``);
            ``"@last"`` or None for the one started last. A folder of that name wins over an id.

    Raises:
        RunNotFoundError: there is no such run.
        RunRecordError: it is there, but its record can't be read.
        InvalidValueError: the text is neither a folder nor an id, or fits several runs.
        InvalidTypeError: ``run`` is something else altogether.
    """
    if isinstance(run, RunDirectory):
        return run
    if run is None or run == LAST:
        newest = list_runs(limit=1)
        if not newest:
            raise RunNotFoundError("No run has been recorded yet", advice="Train something first: trainer.fit(model)")
        return newest[0]
    if not isinstance(run, str | os.PathLike):
        raise InvalidTypeError("This is no run", value=run, valid="an id, a run's directory or None for the last one")
    path = Path(run).expanduser()
    if isinstance(run, str) and not path.is_dir() and len(path.parts) == 1:
        return find_run(run.strip().lower())
    return RunDirectory.open(path)
