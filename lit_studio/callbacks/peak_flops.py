"""What accelerators could do at best, as their makers' data sheets say: floating-point operations a second.

It must not know what is being measured.
"""

from __future__ import annotations

import re
import warnings

import torch

_T = 1e12
_AMPERE = (8, 0)

# Dense operations, tensor cores with 32-bit accumulation where there are any; a sparse figure is twice that. In the
# order fp64, fp32, tf32, bf16, fp16, int8, in units of 1e12; None where the chip has none. The first pattern that is
# found in the device's name counts, so that longer names come first.
_SHEETS: tuple[tuple[str, tuple[float | None, ...]], ...] = (
    (r"g?b200", (37, 75, 1125, 2250, 2250, 4500)),
    (r"b100", (30, 60, 875, 1750, 1750, 3500)),
    (r"h200 nvl", (30, 60, 417.5, 835.5, 835.5, 1670.5)),
    (r"g?h200", (33.5, 66.9, 494.7, 989.4, 989.4, 1978.9)),
    (r"h100 nvl", (30, 60, 417.5, 835.5, 835.5, 1670.5)),
    (r"h100.*(pcie|hbm2e)", (25.6, 51.2, 378, 756, 756, 1513)),
    (r"h[18]00", (33.5, 66.9, 494.7, 989.4, 989.4, 1978.9)),
    (r"h20\b", (1, 44, 74, 148, 148, 296)),
    (r"a[18]00", (9.7, 19.5, 156, 312, 312, 624)),
    (r"a30\b", (5.2, 10.3, 82, 165, 165, 330)),
    (r"a40\b", (None, 37.4, 74.8, 149.7, 149.7, 299.3)),
    (r"a10g", (None, 31.5, 35, 70, 70, 140)),
    (r"a10\b", (None, 31.2, 62.5, 125, 125, 250)),
    (r"(rtx )?a6000", (None, 38.7, 77.4, 154.8, 154.8, 309.7)),
    (r"rtx 6000 ada", (None, 91.1, 182.1, 364.2, 364.2, 728.5)),
    (r"l40s", (None, 91.6, 183, 362.05, 362.05, 733)),
    (r"l40\b", (None, 90.5, 90.5, 181.05, 181.05, 362)),
    (r"l4\b", (None, 30.3, 60, 121, 121, 242)),
    (r"rtx 5090", (None, 104.8, 104.8, 209.5, 209.5, 838)),
    (r"rtx 5080", (None, 56.3, 56.3, 112.6, 112.6, 450.2)),
    (r"rtx 4090", (None, 82.6, 82.6, 165.2, 165.2, 660.6)),
    (r"rtx 4080 super", (None, 52.2, 52.2, 104.4, 104.4, 417.6)),
    (r"rtx 4080", (None, 48.7, 48.7, 97.5, 97.5, 389.9)),
    (r"rtx 4070 ti", (None, 40.1, 40.1, 80.2, 80.2, 320.7)),
    (r"rtx 4070", (None, 29.1, 29.1, 58.3, 58.3, 233.2)),
    (r"rtx 3090 ti", (None, 40, 40, 80, 80, 320)),
    (r"rtx 3090", (None, 35.6, 35.6, 71, 71, 284)),
    (r"rtx 3080 ti", (None, 34.1, 34.1, 68.2, 68.2, 272.8)),
    (r"rtx 3080", (None, 29.8, 29.8, 59.5, 59.5, 238)),
    (r"rtx 3070", (None, 20.3, 20.3, 40.6, 40.6, 162.6)),
    (r"rtx 2080 ti", (None, 14.2, None, None, 56.9, 227.7)),
    (r"rtx 2080 super", (None, 11.2, None, None, 44.6, 178.4)),
    (r"rtx 2080", (None, 10.6, None, None, 42.4, 169.6)),
    (r"rtx 2070 super", (None, 9.1, None, None, 36.3, 145)),
    (r"titan rtx", (None, 16.3, None, None, 130.5, 261)),
    (r"quadro rtx 5000", (None, 11.2, None, None, 89.2, 178.4)),
    (r"t4\b", (None, 8.1, None, None, 65, 130)),
    (r"v100s", (8.2, 16.4, None, None, 130, None)),
    (r"v100.*pcie", (7, 14, None, None, 112, None)),
    (r"v100", (7.8, 15.7, None, None, 125, None)),
)
_ORDER = (torch.float64, torch.float32, "tf32", torch.bfloat16, torch.float16, torch.int8)


def get_available_flops(device: torch.device, dtype: torch.dtype | str) -> int | None:
    """What ``device`` could do at best in ``dtype``, in operations a second.

    That is the data sheet's figure for dense products on tensor cores, which no real model reaches.

    Args:
        device: any.
        dtype: ``torch.float32`` means tf32 where torch may use it; the name ``"tf32"`` works too.

    Returns:
        The figure; None, with a warning, for a CUDA device whose figure isn't known, and None for other devices.
    """
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    figures = _figures(name)
    if figures is None:
        warnings.warn(f"FLOPs not found for {name!r}", stacklevel=2)
        return None
    if dtype is torch.float32 and _uses_tf32(device):
        dtype = "tf32"
    found = figures[_ORDER.index(dtype)] if dtype in _ORDER else None
    if found is None:
        warnings.warn(f"{name!r} does not support {dtype}", stacklevel=2)
        return None
    return int(found * _T)


def _figures(name: str) -> tuple[float | None, ...] | None:
    plain = name.lower().replace("-", " ")
    return next((figures for pattern, figures in _SHEETS if re.search(rf"\b{pattern}", plain)), None)


def _uses_tf32(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device) >= _AMPERE and torch.get_float32_matmul_precision() != "highest"
