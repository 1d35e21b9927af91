"""What a run's display consists of: the MIME bundles at its beginning and at its end.

It must not know who publishes them. While a run goes on, JupyterLab with our labextension draws the run type from
disk and others draw the widget. What stays in the file at the end is the run type, a picture and two lines of text:
never a widget view, which a later kernel couldn't fill.
"""

from __future__ import annotations

import base64
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from lit_studio.base.runs import RunDirectory, RunStatus
from lit_studio.studio import words

RUN_TYPE = "application/vnd.lit-studio.run.v1+json"
VIEW_TYPE = "application/vnd.jupyter.widget-view+json"

Bundle = dict[str, Any]
View = Literal["training", "evaluation"]


def run_reference(run: RunDirectory, view: View) -> dict[str, str]:
    """The content of the run type: which run, where it lies as seen from the notebook, and what to draw of it."""
    return {"run": run.info.id, "directory": _seen_from_here(run.path), "name": run.info.name, "view": view}


def _seen_from_here(path: Path) -> str:
    try:
        return path.relative_to(Path(os.path.realpath(os.curdir))).as_posix()
    except (ValueError, OSError):  # outside, or the folder we are in is gone
        return str(path)


def live_bundle(run: RunDirectory, view: View, model_id: str | None, hint: str = "") -> Bundle:
    """The bundle shown while the run goes on.

    Args:
        run: the run.
        view: what to draw.
        model_id: the widget's model, None without a widget.
        hint: a line for readers that can draw neither.
    """
    text = f"{run.info.name}: {'training' if view == 'training' else 'evaluation'} goes on (run {run.info.id})"
    bundle: Bundle = {RUN_TYPE: run_reference(run, view), "text/plain": f"{text}\n{hint}" if hint else text}
    if model_id is not None:
        bundle[VIEW_TYPE] = {"version_major": 2, "version_minor": 0, "model_id": model_id}
    return bundle


def final_bundle(run: RunDirectory, view: View, metrics: dict[str, float | str] | None = None) -> tuple[Bundle, Bundle]:
    """The bundle that stays when the run has ended, and its metadata.

    Args:
        run: the run.
        view: what to draw.
        metrics: show these numbers instead of all that the run has.

    Raises:
        RunNotFoundError: the run is gone.
        RunRecordError: its record can't be read.
    """
    # Only here, so that nothing waits for numpy's and the picture's import when a fit begins.
    from lit_studio.widgets.picture import picture_size, run_picture

    status = run.status()
    if metrics is not None:
        status = replace(status, metrics=metrics, headline={})
    png = run_picture(run, status, evaluation=view == "evaluation")
    width, height = picture_size(png)
    bundle = {
        RUN_TYPE: run_reference(run, view),
        "image/png": base64.b64encode(png).decode("ascii"),
        "text/plain": final_text(run, status, view),
    }
    return bundle, {"image/png": {"width": width, "height": height}}


def final_text(run: RunDirectory, status: RunStatus, view: View) -> str:
    """Two plain lines: how it ended and the main numbers."""
    return words.summary(run.info.name, status, evaluation=view == "evaluation")
