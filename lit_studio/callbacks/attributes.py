"""Where a setting of a person's lives: on the module, in its hyper-parameters, on the datamodule or in its.

It must not know what a setting means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lit_studio.base.errors import MissingAttributeError

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule


def lightning_hasattr(model: LightningModule, attribute: str) -> bool:
    """Whether ``attribute`` is found in any of the places."""
    return bool(_places(model, attribute))


def lightning_getattr(model: LightningModule, attribute: str) -> Any:
    """The value of ``attribute``; of several places the datamodule's counts, and hyper-parameters before attributes.

    Raises:
        MissingAttributeError: it is in none of them.
    """
    place = _found(model, attribute)[-1]
    return place[attribute] if isinstance(place, dict) else getattr(place, attribute)


def lightning_setattr(model: LightningModule, attribute: str, value: Any) -> None:
    """Set ``attribute`` in all places that have it.

    Raises:
        MissingAttributeError: none has.
    """
    for place in _found(model, attribute):
        if isinstance(place, dict):
            place[attribute] = value
        else:
            setattr(place, attribute, value)


def _places(model: LightningModule, attribute: str) -> list[Any]:
    trainer = model._trainer
    owners: list[Any] = [
        model,
        *([trainer.datamodule] if trainer is not None and trainer.datamodule is not None else []),
    ]
    found: list[Any] = []
    for owner in owners:
        if hasattr(owner, attribute):
            found.append(owner)
        if attribute in getattr(owner, "hparams", {}):
            found.append(owner.hparams)
    return found


def _found(model: LightningModule, attribute: str) -> list[Any]:
    found = _places(model, attribute)
    if not found:
        raise MissingAttributeError(
            f"{attribute} is neither stored in the model namespace nor the `hparams` namespace/dict, nor the datamodule"
        )
    return found
