"""Which device the arguments ``accelerator`` and ``devices`` mean on this machine.

It must not know what will run there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch

from lit_studio.base.errors import InvalidStateError, InvalidTypeError, InvalidValueError, MisconfigurationException

_log = logging.getLogger("lit_studio")


class Accelerator:
    """A kind of device.

    Attributes:
        name: torch's word for it: ``cpu``, ``cuda`` or ``mps``.
    """

    name = "cpu"

    @classmethod
    def is_available(cls) -> bool:
        """Whether this machine has one that torch can use."""
        return True

    @classmethod
    def auto_device_count(cls) -> int:
        """How many there are."""
        return 1

    @classmethod
    def describe(cls, device: torch.device) -> str:
        """``device`` in words, for instance ``NVIDIA H100``."""
        return "cpu"

    @classmethod
    def parse_devices(cls, devices: list[int] | str | int) -> list[int]:
        """The indices that the argument ``devices`` means for this kind; see :func:`resolve_devices`."""
        return resolve_devices(cls(), devices)

    @classmethod
    def get_parallel_devices(cls, devices: list[int] | int) -> list[torch.device]:
        """Torch's devices of these indices, or of so many from 0."""
        indices = range(devices) if isinstance(devices, int) else devices
        return [torch.device(cls.name, index) if cls.name == "cuda" else torch.device(cls.name) for index in indices]

    def get_device_stats(self, device: torch.device | str | int) -> dict[str, Any]:
        """What DeviceStatsMonitor logs of ``device``: its memory; of the host too on a CPU."""
        from lit_studio.callbacks.device_stats_monitor import accelerator_stats, host_stats

        place = torch.device(self.name, device) if isinstance(device, int) else torch.device(device)
        return accelerator_stats(place) if place.type != "cpu" else host_stats()


class CPUAccelerator(Accelerator):
    """The processor."""


class CUDAAccelerator(Accelerator):
    """NVIDIA GPUs, and AMD ones under ROCm."""

    name = "cuda"

    @classmethod
    def is_available(cls) -> bool:
        """Whether torch sees a GPU."""
        return torch.cuda.is_available()

    @classmethod
    def auto_device_count(cls) -> int:
        """How many GPUs are visible."""
        return torch.cuda.device_count()

    @classmethod
    def describe(cls, device: torch.device) -> str:
        """The GPU's product name."""
        return torch.cuda.get_device_name(device)


class MPSAccelerator(Accelerator):
    """Apple's GPU."""

    name = "mps"

    @classmethod
    def is_available(cls) -> bool:
        """Whether this is a machine with Metal and a torch built for it."""
        return torch.backends.mps.is_available()

    @classmethod
    def describe(cls, device: torch.device) -> str:
        """Apple's GPU has no product name that torch knows."""
        return "Apple GPU"


GPUS: tuple[type[Accelerator], ...] = (CUDAAccelerator, MPSAccelerator)
NAMES: dict[str, tuple[type[Accelerator], ...]] = {
    "auto": (*GPUS, CPUAccelerator),
    "cpu": (CPUAccelerator,),
    "gpu": GPUS,
    "cuda": (CUDAAccelerator,),
    "mps": (MPSAccelerator,),
}


def find_usable_cuda_devices(num_devices: int = -1) -> list[int]:
    """The indices of GPUs on which something can be placed now, the first ``num_devices`` of them (−1: all).

    Raises:
        InvalidValueError: so many GPUs aren't there.
        InvalidStateError: so many aren't free.
    """
    present = torch.cuda.device_count()
    if num_devices > present or (num_devices > 0 and not present):
        raise InvalidValueError("You requested more CUDA devices than there are", value=num_devices, valid=str(present))
    usable: list[int] = []
    for index in range(present):
        try:
            torch.tensor(0, device=torch.device("cuda", index))
        except RuntimeError:  # taken by a process that wants it alone, or full
            continue
        usable.append(index)
        if len(usable) == num_devices:
            break
    if len(usable) < num_devices:
        raise InvalidStateError("Not so many CUDA devices are usable", value=num_devices, valid=str(len(usable)))
    return usable


def resolve_accelerator(accelerator: str | Accelerator) -> Accelerator:
    """The kind of device that the argument means.

    Raises:
        InvalidValueError: an unknown name.
        MisconfigurationException: this machine has no such device.
    """
    if isinstance(accelerator, Accelerator):
        return accelerator
    if not isinstance(accelerator, str) or accelerator not in NAMES:
        valid = f"one of {', '.join(NAMES)}"
        raise InvalidValueError("You selected an invalid accelerator name", value=accelerator, valid=valid)
    for kind in NAMES[accelerator]:
        if kind.is_available():
            return kind()
    raise MisconfigurationException(
        f"No supported {accelerator} backend found", advice="Use accelerator='auto' or 'cpu' on this machine."
    )


def resolve_devices(accelerator: Accelerator, devices: list[int] | str | int, interactive: bool = False) -> list[int]:
    """The device indices that the argument means, one rank for each.

    Args:
        accelerator: the kind of device.
        devices: a count, ``"auto"`` (all GPUs, one CPU process), −1 (all), a list of indices, or a string of either
            such as ``"1"`` or ``"0,"``; on the CPU a count of processes.
        interactive: whether a person types at a prompt; ``"auto"`` is one device then.

    Raises:
        MisconfigurationException: no device, or one that isn't there.
        InvalidTypeError: neither of the forms above.
    """
    present = accelerator.auto_device_count()
    wanted = _parse(devices, lambda: present)
    if wanted is None:
        if present > 1 and interactive:
            _log.info(
                "Using 1 of %d %s devices, because this is a notebook; Trainer(devices=%d) uses all.",
                present,
                accelerator.name,
                present,
            )
        return [0] if interactive else list(range(present))
    if not wanted:
        raise MisconfigurationException("Trainer(devices) asks for no device", value=devices, valid="at least one")
    if len(set(wanted)) != len(wanted):
        raise MisconfigurationException("Device indices must be unique", value=devices)
    if accelerator.name == "cpu":  # processes, whatever they are called
        return list(range(len(wanted)))
    missing = [index for index in wanted if index >= present or index < 0]
    if missing:
        raise MisconfigurationException(
            f"You requested {accelerator.name} device {missing[0]}, but this machine doesn't have it",
            value=devices,
            valid=f"indices 0 to {present - 1}",
        )
    return wanted


def _parse(devices: Any, present: Callable[[], int]) -> list[int] | None:
    """Indices, or None for ``auto``."""
    if devices == "auto":
        return None
    if isinstance(devices, str):
        text = devices.strip()
        try:
            numbers = [int(part) for part in text.split(",") if part.strip()]
        except ValueError:
            raise InvalidTypeError("devices can't be read", value=devices, valid="'auto', '2' or '0,1'") from None
        devices = numbers if "," in text else (numbers[0] if numbers else 0)
    if isinstance(devices, bool) or not isinstance(devices, int | list | tuple):
        raise InvalidTypeError("devices has the wrong type", value=devices, valid="an int, a list of ints or a str")
    if isinstance(devices, int):
        return list(range(present() if devices == -1 else devices))
    if not all(isinstance(index, int) and not isinstance(index, bool) for index in devices):
        raise InvalidTypeError("device indices must be ints", value=devices, valid="a list of ints")
    return list(devices)
