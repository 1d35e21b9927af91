"""Seeding Python's, NumPy's and torch's random numbers, and running something without moving them.

It must not know the trainer or any loader.
"""

from __future__ import annotations

import logging
import os
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

SEED_VARIABLE = "PL_GLOBAL_SEED"
WORKERS_VARIABLE = "PL_SEED_WORKERS"
MIN_SEED = 0
MAX_SEED = 2**32 - 1
_log = logging.getLogger(__name__)


def seed_everything(seed: int | None = None, workers: bool = False, verbose: bool = True) -> int:
    """Seed ``random``, torch on all devices, and NumPy where it is loaded; returns the seed.

    The seed is left in the environment variable ``PL_GLOBAL_SEED`` for child processes, and ``workers`` in
    ``PL_SEED_WORKERS``.

    Args:
        seed: 0 to 2³² − 1. None takes ``PL_GLOBAL_SEED``, or 0 where that is not set. A seed that is out of range or
            no integer is replaced by 0 with a warning.
        workers: whether the Trainer should give each DataLoader worker a seed of its own.
        verbose: whether to log the seed.
    """
    seed = _usable(os.environ.get(SEED_VARIABLE) if seed is None else seed)
    if verbose:
        _log.info("Seed set to %d", seed)
    os.environ[SEED_VARIABLE] = str(seed)
    os.environ[WORKERS_VARIABLE] = str(int(workers))
    _seed_all(seed)
    return seed


def reset_seed() -> None:
    """Seed everything once more with the seed of the last :func:`seed_everything`; without one, do nothing."""
    if (seed := os.environ.get(SEED_VARIABLE)) is not None:
        _seed_all(_usable(seed))


def seed_worker(worker_id: int, rank: int = 0) -> None:
    """A ``worker_init_fn``: distinct seeds in each DataLoader worker of each rank, for NumPy and ``random`` too.

    Args:
        worker_id: the worker's number.
        rank: the rank of the process that owns the loader.
    """
    base = torch.initial_seed() - worker_id  # torch gives worker i the loader's base seed plus i
    torch_seed, python_seed, numpy_seed = _spread(base, worker_id, rank)
    torch.manual_seed(torch_seed)
    random.seed(python_seed)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(numpy_seed & MAX_SEED)


def _spread(base: int, worker_id: int, rank: int) -> tuple[int, int, int]:
    # SHA-512 inside ``random`` turns neighbouring inputs into unrelated seeds.
    source = random.Random(f"{base}:{rank}:{worker_id}")
    return source.getrandbits(63), source.getrandbits(63), source.getrandbits(32)


def _usable(seed: Any) -> int:
    if seed is None:
        warnings.warn(f"No seed was given and {SEED_VARIABLE} is not set: the seed is 0.", stacklevel=3)
        return 0
    try:
        number = int(seed)
    except (TypeError, ValueError):
        warnings.warn(f"The seed {seed!r} is no integer: the seed is 0.", stacklevel=3)
        return 0
    if not 0 <= number <= MAX_SEED:
        warnings.warn(f"The seed {number} is not in bounds, 0 to {MAX_SEED}: the seed is 0.", stacklevel=3)
        return 0
    return number


def _seed_all(seed: int) -> None:
    random.seed(seed)
    torch.manual_seed(seed)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(seed)


@contextmanager
def isolate_rng(include_cuda: bool = True) -> Iterator[None]:
    """Run a block and then put every global random state back to where it was.

    Args:
        include_cuda: whether the CUDA devices' states are among them.
    """
    numpy: Any = sys.modules.get("numpy")
    # A device that nobody has used yet has no state to keep, and asking for it would set it up.
    cuda = include_cuda and torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    python_state, torch_state = random.getstate(), torch.get_rng_state()
    numpy_state = None if numpy is None else numpy.random.get_state()
    cuda_states = torch.cuda.get_rng_state_all() if cuda else []
    try:
        yield
    finally:
        random.setstate(python_state)
        torch.set_rng_state(torch_state)
        if numpy_state is not None:
            numpy.random.set_state(numpy_state)
        if cuda:
            torch.cuda.set_rng_state_all(cuda_states)
