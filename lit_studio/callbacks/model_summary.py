"""The callbacks that show what a model consists of when a fit begins.

It must not know how a summary is made: :mod:`lit_studio.callbacks.summary` does that.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from lit_studio.callbacks import summary
from lit_studio.callbacks.base import Callback

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer

_log = logging.getLogger(__name__)


class ModelSummary(Callback):
    """Logs a table of the model's modules with parameters, and sizes where it has an ``example_input_array``.

    Args:
        max_depth: how deep to list modules: 1 the children, −1 all, 0 shows nothing.
        summarize_kwargs: passed on to :meth:`summarize`.
    """

    def __init__(self, max_depth: int = 1, **summarize_kwargs: Any):
        self._max_depth = max_depth
        self._summarize_kwargs = summarize_kwargs

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the summary and show it, on rank 0."""
        if not self._max_depth or not trainer.is_global_zero:
            return
        made = summary.ModelSummary(pl_module, self._max_depth)
        self.summarize(
            made.columns(),
            made.total_parameters,
            made.trainable_parameters,
            made.model_size,
            total_training_modes=made.total_training_modes,
            total_flops=made.total_flops,
            **self._summarize_kwargs,
        )

    @staticmethod
    def summarize(
        summary_data: list[tuple[str, list[str]]],
        total_parameters: int,
        trainable_parameters: int,
        model_size: float,
        total_training_modes: dict[str, int],
        total_flops: int,
        **summarize_kwargs: Any,
    ) -> None:
        """Show a summary; override it to show it elsewhere.

        Args:
            summary_data: the table, column by column: title and cells.
            total_parameters: number of parameters.
            trainable_parameters: those of them that are trained.
            model_size: megabytes.
            total_training_modes: modules in ``"train"`` and in ``"eval"`` mode.
            total_flops: floating-point operations of a forward pass, 0 if unknown.
            summarize_kwargs: what the callback was given for this.
        """
        totals = summary.total_lines(
            total_parameters, trainable_parameters, model_size, total_training_modes, total_flops
        )
        _log.info("\n%s", summary.text_table(summary_data, totals))


class RichModelSummary(ModelSummary):
    """The same, printed with Rich.

    Args:
        max_depth: how deep to list modules: 1 the children, −1 all, 0 shows nothing.
        summarize_kwargs: arguments for ``rich.table.Table``, and ``console``, a ``rich.console.Console``.
    """

    @staticmethod
    def summarize(
        summary_data: list[tuple[str, list[str]]],
        total_parameters: int,
        trainable_parameters: int,
        model_size: float,
        total_training_modes: dict[str, int],
        total_flops: int,
        **summarize_kwargs: Any,
    ) -> None:
        """Print a summary."""
        from rich import box
        from rich.console import Console
        from rich.table import Table

        console = summarize_kwargs.pop("console", None) or Console()
        table = Table(**{"box": box.SIMPLE_HEAD, "header_style": "bold", **summarize_kwargs})
        for title, _ in summary_data:
            table.add_column(title, justify="right" if title == "Params" else "left")
        for row in zip(*(cells for _, cells in summary_data), strict=True):
            table.add_row(*row)
        totals = Table.grid(padding=(0, 2))
        totals.add_column(justify="right", style="bold")
        for number, meaning in summary.total_lines(
            total_parameters, trainable_parameters, model_size, total_training_modes, total_flops
        ):
            totals.add_row(number, meaning)
        console.print(table, totals)
