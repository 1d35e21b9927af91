"""``lit-studio runs``: what has been trained, as a list and one by one.

It must not know how a run is recorded beyond what ``base.runs`` and ``tracking`` tell.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from rich.text import Text

from lit_studio.base.errors import RunRecordError
from lit_studio.base.runs import RunDirectory, RunStatus, list_runs
from lit_studio.cli import terminal
from lit_studio.studio import words
from lit_studio.studio.choice import choose_run

_COLOURS = {"finished": "green", "running": "blue", "paused": "yellow", "failed": "red", "lost": "red"}
_SHOWN_EVENTS = {"CheckpointSaved", "CommandApplied", "WarningRaised"}
_MOST_EVENTS = 12


def list_recorded(limit: int | None, as_json: bool) -> None:
    """Print the newest ``limit`` runs, all for None."""
    found = []
    for run in list_runs(limit):
        try:
            found.append((run, run.status()))
        except RunRecordError as error:
            found.append((run, RunStatus(state="unreadable", error=str(error))))
    if as_json:
        terminal.print_json({"runs": [describe(run, status) for run, status in found]})
        return
    if not found:
        terminal.note("No run has been recorded yet. Train something first: trainer.fit(model)")
        return
    rows = []
    for run, status in found:
        metrics = list(words.ordered(status.metrics, status.headline).items())[:2]
        numbers = "  ".join(f"{name} {words.metric(name, value)}" for name, value in metrics)
        state = Text(status.state, style=_COLOURS.get(status.state, ""))
        when = f"{words.duration(max(0.0, time.time() - run.info.created))} ago"
        rows.append((run.info.id, run.info.name, state, f"{status.step:,}", numbers, when, shown_path(run.path)))
    terminal.data().print(terminal.table(("id", "name", "state", ">steps", "metrics", "started", "directory"), rows))


def show_recorded(which: str, as_json: bool) -> None:
    """Print one run."""
    from lit_studio.tracking import RunReader

    run = choose_run(which)
    status, reader = run.status(), RunReader(run)
    events = [event for event in reader.events()[0] if event.get("event") in _SHOWN_EVENTS]
    if as_json:
        terminal.print_json({**describe(run, status), "series": reader.names(), "events": events})
        return
    console = terminal.data()
    console.print(Text(words.summary(run.info.name, status, most=0), style="bold"))
    facts = [("id", run.info.id), ("directory", shown_path(run.path)), ("device", status.device)]
    facts += [("notebook", run.info.notebook), ("python", run.info.python)]
    facts += [(package, number) for package, number in run.info.packages.items()]
    console.print(terminal.table(("", ""), [fact for fact in facts if fact[1]]))
    if metrics := words.ordered(status.metrics, status.headline):
        console.print()
        console.print(metric_table(metrics))
    if events:
        console.print()
        for event in events[-_MOST_EVENTS:]:
            console.print(Text(f"step {event.get('step', 0):>7,}  {_told(event)}"))


def metric_table(metrics: dict[str, float | str]) -> Any:
    """Names and values, the ones that matter most first."""
    return terminal.table(("", ">"), [(name, words.metric(name, value)) for name, value in metrics.items()])


def show_result(run: RunDirectory, status: RunStatus, since: float) -> None:
    """Print what became of ``run`` since ``since``, with the numbers of all its stages."""
    told = f"{words.summary(run.info.name, status, most=0)} ({shown_path(run.path)})"
    terminal.data().print(Text(told, style=terminal.PERSON_HINT), soft_wrap=True)
    if metrics := final_metrics(run, status, since):
        terminal.data().print(metric_table(metrics))


def describe_result(run: RunDirectory, status: RunStatus, since: float) -> dict[str, Any]:
    """What ``--json`` tells of a run that a program made: :func:`describe` and the numbers of all its stages."""
    return {**describe(run, status), "metrics": final_metrics(run, status, since)}


def final_metrics(run: RunDirectory, status: RunStatus, since: float) -> dict[str, float | str]:
    """The numbers with which each stage of ``run`` (a fit, the test after it) has ended since ``since``."""
    from lit_studio.tracking import RunReader

    metrics: dict[str, float | str] = {}
    for event in RunReader(run).events()[0]:
        if event.get("event") == "RunEnded" and event["time"] >= since:
            metrics.update(event["metrics"])
    return words.ordered({**metrics, **status.metrics}, status.headline)


def describe(run: RunDirectory, status: RunStatus) -> dict[str, Any]:
    """What ``--json`` tells of a run; the keys are stable."""
    return {
        "id": run.info.id,
        "name": run.info.name,
        "directory": str(run.path),
        "notebook": run.info.notebook,
        "created": run.info.created,
        "packages": run.info.packages,
        "status": status.to_json(),
    }


def shown_path(path: Path) -> str:
    """``path`` from here if that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)


def _told(event: dict[str, Any]) -> str:
    if event["event"] == "CheckpointSaved":
        return f"checkpoint {Path(str(event.get('path', ''))).name} ({event.get('reason', '')})"
    if event["event"] == "CommandApplied":
        return f"{event.get('name', '')} by {event.get('who', '')} {event.get('detail', '')}".rstrip()
    return f"warning: {event.get('message', '')}"
