"""``LightningDataModule``: everything about the data in one object that can be shared and saved.

It must not know any trainer's inside: it answers when asked for loaders.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from torch.utils.data import DataLoader, Dataset, IterableDataset

from lit_studio.trainer.combined_loader import CombinedLoader
from lit_studio.trainer.hooks import CheckpointHooks, DataHooks
from lit_studio.trainer.hyperparameters import HyperparametersMixin
from lit_studio.trainer.resume import build_from_checkpoint


class LightningDataModule(DataHooks, CheckpointHooks, HyperparametersMixin):
    """Subclass it: ``prepare_data`` downloads, ``setup`` makes datasets, ``*_dataloader`` make loaders.

    Attributes:
        trainer: the trainer that uses it, None before.
        name: a name of the user's.
    """

    CHECKPOINT_HYPER_PARAMS_KEY = "datamodule_hyper_parameters"
    CHECKPOINT_HYPER_PARAMS_NAME = "datamodule_hparams_name"
    CHECKPOINT_HYPER_PARAMS_TYPE = "datamodule_hparams_type"
    name: str | None = None

    def __init__(self) -> None:
        super().__init__()
        self.trainer: Any = None

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint should keep of the data's state."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` returned."""

    def on_exception(self, exception: BaseException) -> None:
        """The call is ending through ``exception``."""

    def __str__(self) -> str:
        """The loaders and their sizes, as far as they can be made at this moment."""
        words = {"Train": "train", "Validation": "val", "Test": "test", "Predict": "predict"}
        return os.linesep.join(f"{{{name} dataloader: {self._sizes(word)}}}" for name, word in words.items())

    def _sizes(self, word: str) -> str:
        try:
            given = getattr(self, f"{word}_dataloader")()
        except Exception:  # noqa: BLE001 - the user's hook needs what only ``setup`` makes
            return "None"
        loaders = CombinedLoader(given).flattened
        sizes = [_size(getattr(loader, "dataset", loader)) for loader in loaders]
        if len(loaders) == 1:
            return f"size={sizes[0]}"
        return " ; ".join(f"{number}. size={size}" for number, size in enumerate(sizes, start=1))

    @classmethod
    def from_datasets(
        cls,
        train_dataset: Dataset[Any] | Iterable[Dataset[Any]] | None = None,
        val_dataset: Dataset[Any] | Iterable[Dataset[Any]] | None = None,
        test_dataset: Dataset[Any] | Iterable[Dataset[Any]] | None = None,
        predict_dataset: Dataset[Any] | Iterable[Dataset[Any]] | None = None,
        batch_size: int = 1,
        num_workers: int = 0,
        **datamodule_kwargs: Any,
    ) -> LightningDataModule:
        """A datamodule with a loader for each dataset; only training shuffles.

        Args:
            train_dataset: a dataset, or several.
            val_dataset: likewise.
            test_dataset: likewise.
            predict_dataset: likewise.
            batch_size: of all loaders.
            num_workers: of all loaders.
            datamodule_kwargs: for the class's ``__init__``, which gets ``batch_size`` and ``num_workers`` too if it
                takes them.
        """

        def loader(dataset: Any, shuffle: bool) -> DataLoader[Any]:
            shuffle = shuffle and not isinstance(dataset, IterableDataset)
            return DataLoader(dataset, batch_size=batch_size, shuffle=shuffle, num_workers=num_workers)

        def loaders(datasets: Any, shuffle: bool) -> Any:
            if isinstance(datasets, Mapping):
                return {key: loader(dataset, shuffle) for key, dataset in datasets.items()}
            if isinstance(datasets, Sequence) and not isinstance(datasets, Dataset):
                return [loader(dataset, shuffle) for dataset in datasets]
            return loader(datasets, shuffle)

        accepted = inspect.signature(cls.__init__).parameters
        takes_all = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in accepted.values())
        own = {"batch_size": batch_size, "num_workers": num_workers}
        own = {name: value for name, value in own.items() if takes_all or name in accepted}
        datamodule = cls(**{**own, **datamodule_kwargs})
        given = {"train": train_dataset, "val": val_dataset, "test": test_dataset, "predict": predict_dataset}
        for word, datasets in given.items():
            if datasets is not None:
                # On the instance, as if its class had defined it.
                made = lambda datasets=datasets, word=word: loaders(datasets, word == "train")  # noqa: E731
                setattr(datamodule, f"{word}_dataloader", made)
        return datamodule

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path | IO[bytes],
        map_location: Any = None,
        hparams_file: str | Path | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """A datamodule made with the hyper-parameters kept in a checkpoint.

        Args:
            checkpoint_path: the file.
            map_location: as in ``torch.load``.
            hparams_file: a YAML file of hyper-parameters to use where the checkpoint has none.
            weights_only: as in ``torch.load``; None leaves torch's default.
            kwargs: arguments that win over those in the checkpoint.
        """
        instance, checkpoint = build_from_checkpoint(
            cls, checkpoint_path, map_location, hparams_file, weights_only, kwargs
        )
        if state := checkpoint.get(cls.__qualname__):
            instance.load_state_dict(state)
        return instance


def _size(dataset: Any) -> str:
    try:
        return str(len(dataset))
    except (TypeError, NotImplementedError):
        return "NA"
