"""Memory that ran out: how to tell, and how to get some back.

It must not know what was running.
"""

from __future__ import annotations

import gc

import torch


def is_oom_error(exception: BaseException) -> bool:
    """Whether memory is exhausted, of a device or of the host."""
    exhausted = isinstance(exception, torch.OutOfMemoryError | MemoryError)
    tests = (is_cuda_out_of_memory, is_cudnn_snafu, is_out_of_cpu_memory, _is_out_of_mps_memory)
    return exhausted or any(test(exception) for test in tests)


def is_cuda_out_of_memory(exception: BaseException) -> bool:
    """Whether a CUDA device's memory is exhausted."""
    return _says(exception, "CUDA", "out of memory") or _says(exception, "CUBLAS_STATUS_ALLOC_FAILED")


def is_cudnn_snafu(exception: BaseException) -> bool:
    """Whether cuDNN refuses a shape, as it also does where memory is short."""
    return _says(exception, "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED.")


def is_out_of_cpu_memory(exception: BaseException) -> bool:
    """Whether the host's memory is exhausted."""
    return _says(exception, "DefaultCPUAllocator:", "memory")


def _is_out_of_mps_memory(exception: BaseException) -> bool:
    return _says(exception, "MPS backend out of memory")


def _says(exception: BaseException, *words: str) -> bool:
    if not isinstance(exception, RuntimeError) or len(exception.args) != 1:
        return False
    return all(word in str(exception.args[0]) for word in words)


def garbage_collection_cuda() -> None:
    """Free what nobody refers to, and hand the device's unused memory back."""
    gc.collect()
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return
    try:
        torch.cuda.empty_cache()
    except RuntimeError as error:  # on a device that is all but full even this may fail
        if not is_oom_error(error):
            raise
