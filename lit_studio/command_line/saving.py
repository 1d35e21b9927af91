"""Keeping a run's configuration beside its logs, so that it can be run again.

It must not know how the configuration came about.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_studio.base.errors import InvalidStateError, InvalidValueError
from lit_studio.callbacks import Callback

if TYPE_CHECKING:
    from lit_studio.command_line.parser import LightningArgumentParser
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer


class SaveConfigCallback(Callback):
    """Writes the command line's configuration into ``trainer.log_dir`` before the first call begins.

    Args:
        parser: what the configuration was parsed with.
        config: the configuration.
        config_filename: the file's name.
        overwrite: whether a file of that name may be replaced.
        multifile: keep the division into several files that the given ones had.
        save_to_log_dir: False leaves everything to :meth:`save_config`.

    Raises:
        InvalidValueError: ``save_to_log_dir=False`` in a class that doesn't override :meth:`save_config`.
    """

    def __init__(
        self,
        parser: LightningArgumentParser,
        config: Any,
        config_filename: str = "config.yaml",
        overwrite: bool = False,
        multifile: bool = False,
        save_to_log_dir: bool = True,
    ) -> None:
        self.parser = parser
        self.config = config
        self.config_filename = config_filename
        self.overwrite = overwrite
        self.multifile = multifile
        self.save_to_log_dir = save_to_log_dir
        self.already_saved = False
        if not save_to_log_dir and type(self).save_config is SaveConfigCallback.save_config:
            raise InvalidValueError(
                "`save_to_log_dir=False` only makes sense when subclassing SaveConfigCallback to implement "
                "`save_config`"
            )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file once; on rank 0 only.

        Raises:
            InvalidStateError: there is such a file, and it mustn't be replaced.
        """
        if self.already_saved:
            return
        if self.save_to_log_dir:
            self._write(trainer)
        if trainer.is_global_zero:
            self.save_config(trainer, pl_module, stage)
            self.already_saved = True
        self.already_saved = trainer.strategy.broadcast(self.already_saved)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Override it to keep the configuration elsewhere too, for instance in a logger.

        It is called on rank 0 only, so it mustn't wait for other ranks.

        Args:
            trainer: the trainer.
            pl_module: the module.
            stage: the call that begins.
        """

    def _write(self, trainer: Trainer) -> None:
        folder = Path(trainer.log_dir)
        path = folder / self.config_filename
        if not self.overwrite and trainer.strategy.broadcast(trainer.is_global_zero and path.is_file()):
            raise InvalidStateError(
                f"{type(self).__name__} expected {path} to NOT exist. Aborting to avoid overwriting results of a "
                "previous run",
                advice="Delete that file, turn saving off with `LightningCLI(save_config_callback=None)`, or allow it "
                'with `LightningCLI(save_config_kwargs={"overwrite": True})`.',
            )
        if trainer.is_global_zero:
            folder.mkdir(parents=True, exist_ok=True)
            self.parser.save(
                self.config, str(path), skip_unset=False, overwrite=self.overwrite, multifile=self.multifile
            )
