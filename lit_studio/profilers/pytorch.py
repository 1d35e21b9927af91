"""Operators and kernels by torch's own profiler, with a trace for Perfetto, Chrome or TensorBoard.

It must not know the loop's inside: training steps are told apart by the name of the action that holds one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, record_function, schedule, tensorboard_trace_handler

from lit_studio.base.errors import InvalidTypeError
from lit_studio.profilers.base import Profiler

STEP_ACTIONS = frozenset({"run_training_batch", "validation_step", "test_step", "predict_step"})


class PyTorchProfiler(Profiler):
    """Wraps ``torch.profiler.profile`` (https://pytorch.org/docs/stable/profiler.html) around a run.

    Every action shows in the trace under its name. By default one step is skipped, one warms up and three are
    recorded, so the trace of a long run stays small.

    Args:
        dirpath: see :class:`Profiler`; the trace goes there too.
        filename: see :class:`Profiler`.
        export_to_chrome: write a trace file (``*.pt.trace.json``) that Perfetto and TensorBoard open.
        row_limit: rows of the summary table.
        sort_by_key: column to sort by; default total time on the accelerator if there is one, else on the CPU.
        group_by_input_shapes: tell calls with different input shapes apart.
        table_kwargs: more arguments for ``key_averages().table``.
        profiler_kwargs: arguments for ``torch.profiler.profile`` (``schedule``, ``activities``,
            ``record_shapes``, ``profile_memory``, ``with_stack`` …); they replace the defaults here.

    Raises:
        InvalidTypeError: ``schedule`` is given and can't be called.
    """

    def __init__(
        self,
        dirpath: str | Path | None = None,
        filename: str | None = None,
        export_to_chrome: bool = True,
        row_limit: int = 20,
        sort_by_key: str | None = None,
        group_by_input_shapes: bool = False,
        table_kwargs: dict[str, Any] | None = None,
        **profiler_kwargs: Any,
    ):
        super().__init__(dirpath, filename)
        if profiler_kwargs.get("schedule") is not None and not callable(profiler_kwargs["schedule"]):
            raise InvalidTypeError(
                "schedule must be a function from step number to ProfilerAction",
                value=profiler_kwargs["schedule"],
                valid="what torch.profiler.schedule(...) returns",
            )
        self.export_to_chrome, self.row_limit, self.sort_by_key = export_to_chrome, row_limit, sort_by_key
        self.group_by_input_shapes, self.table_kwargs = group_by_input_shapes, dict(table_kwargs or {})
        self._kwargs = profiler_kwargs
        self.profiler: torch.profiler.profile | None = None
        self._recorded: dict[str, list[Any]] = {}

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """Start torch's profiler for this run."""
        super().setup(stage, local_rank, log_dir)
        self.teardown()
        kwargs: dict[str, Any] = {
            "activities": self._activities(),
            "record_shapes": self.group_by_input_shapes,
            "schedule": schedule(wait=1, warmup=1, active=3, repeat=1) if stage != "predict" else None,
            "acc_events": True,
            **self._kwargs,
        }
        folder = self.dirpath or (Path(log_dir) if log_dir else None)
        if self.export_to_chrome and folder is not None and "on_trace_ready" not in kwargs:
            kwargs["on_trace_ready"] = tensorboard_trace_handler(str(folder), f"{stage}-rank{self._local_rank}")
        self.profiler = torch.profiler.profile(**kwargs)
        self.profiler.start()

    def start(self, action_name: str) -> None:
        """Open a range of this name in the trace."""
        if self.profiler is not None:
            span = record_function(action_name)
            span.__enter__()  # type: ignore[no-untyped-call]
            self._recorded.setdefault(action_name, []).append(span)

    def stop(self, action_name: str) -> None:
        """Close the range; the end of a step's action tells torch that one step is over."""
        spans = self._recorded.get(action_name)
        if not spans:
            return
        spans.pop().__exit__(None, None, None)
        if action_name in STEP_ACTIONS and self.profiler is not None:
            self.profiler.step()

    def summary(self) -> str:
        """Torch's table of operators over the recorded steps; stops the recording."""
        if self.profiler is None:
            return ""
        self._close_spans()
        profiler, self.profiler = self.profiler, None
        profiler.stop()
        if profiler.profiler is None:  # torch makes it with the first step that its schedule records
            return f"\nProfiler report of {self._stage}: the run ended before the schedule's first recorded step.\n"
        averages = profiler.key_averages(group_by_input_shape=self.group_by_input_shapes)
        table = averages.table(sort_by=self._sort_key(), row_limit=self.row_limit, **self.table_kwargs)
        return f"\nProfiler report of {self._stage}\n{table}\n"

    def teardown(self, stage: str | None = None) -> None:
        """Stop torch's profiler if :meth:`summary` did not."""
        self._close_spans()
        if self.profiler is not None:
            self.profiler.stop()
            self.profiler = None

    def _close_spans(self) -> None:
        for spans in self._recorded.values():
            while spans:
                spans.pop().__exit__(None, None, None)
        self._recorded = {}

    def _sort_key(self) -> str:
        if self.sort_by_key is not None:
            return self.sort_by_key
        return "cuda_time_total" if torch.cuda.is_available() else "cpu_time_total"

    @staticmethod
    def _activities() -> list[ProfilerActivity]:
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
        return activities
