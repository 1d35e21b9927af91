"""Advice when a fit waits for its data: the measured share and the loader's arguments that would help.

It must not know how waiting is measured or who is told: it gets counters at each flush, and answers with a sentence.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

SHARE = 0.2
SECONDS = 4.0


class Starvation:
    """Watches one fit, and speaks once.

    Only time between two flushes of training counts, not validation, saving or a pause. Where work is queued on a
    device the loop may wait while the device has enough to do; so it must also have been found idle most of the time.
    """

    def __init__(self) -> None:
        self._spoke = False
        self._seconds = self._waited = 0.0
        self._looks = self._idle = 0
        self._last: tuple[float, float] | None = None

    def look(self, now: float, waited: float, device: torch.device) -> float | None:
        """Note where training stands, right after a batch came; the share of waiting once that is worth a word.

        Args:
            now: seconds of this run without pauses.
            waited: of these, seconds spent waiting for the loader.
            device: what trains.
        """
        if self._spoke:
            return None
        last, self._last = self._last, (now, waited)
        if last is None:
            return None
        self._seconds, self._waited = self._seconds + now - last[0], self._waited + waited - last[1]
        self._looks, self._idle = self._looks + 1, self._idle + is_idle(device)
        share = self._waited / self._seconds if self._seconds > 0 else 0.0
        if self._seconds < SECONDS or share <= SHARE or 2 * self._idle < self._looks:
            return None
        self._spoke = True
        return share

    def look_away(self) -> None:
        """Something else than training comes now."""
        self._last = None


def is_idle(device: torch.device) -> bool:
    """Whether ``device`` has done all that was asked of it; doesn't wait for it."""
    return bool(torch.cuda.current_stream(device).query()) if device.type == "cuda" else True


def advise(loaders: list[Any], share: float, most_workers: int, pins: bool) -> str | None:
    """What to do about it, in a few sentences; None if no loader is a ``DataLoader``, of which nothing is known.

    Args:
        loaders: training's.
        share: of the time, spent waiting.
        most_workers: as many as the machine bears in each process.
        pins: whether memory should be pinned, because batches go to a device that can't read the host's.
    """
    own = [loader for loader in loaders if isinstance(loader, DataLoader)]
    if not own:
        return None
    loader = min(own, key=lambda one: one.num_workers)
    waited = f"training waited for it {share:.0%} of the time"
    arguments = []
    if loader.num_workers < most_workers:
        arguments.append(f"num_workers={most_workers}")
    if not loader.persistent_workers:
        arguments.append("persistent_workers=True")
    if pins and not loader.pin_memory:
        arguments.append("pin_memory=True")
    if loader.num_workers < most_workers:
        text = f"The 'train_dataloader' does not have many workers which may be a bottleneck: {waited}, with "
        text += f"num_workers={loader.num_workers}. Try DataLoader(..., {', '.join(arguments)})."
    else:
        text = (
            f"The 'train_dataloader' may be a bottleneck: {waited}, although its num_workers={loader.num_workers} are "
        )
        text += (
            "as many as this machine's cores bear. Make a sample cheaper: prepare the data once, or do on the device "
        )
        text += "what can be done there (on_after_batch_transfer)."
        if arguments:
            text += f" DataLoader(..., {', '.join(arguments)}) may help a little."
    if isinstance(loader.dataset, IterableDataset) and loader.num_workers < most_workers:
        text += " Each worker runs the IterableDataset's __iter__, which must give it a share (get_worker_info)."
    return text
