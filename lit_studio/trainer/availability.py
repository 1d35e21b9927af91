"""Which optional packages and versions are here, under the names by which programs ask for them.

It must not import any of them: it looks whether they could be.
"""

from __future__ import annotations

import platform
import sys
from functools import cache
from importlib import metadata
from importlib.util import find_spec

from packaging.specifiers import SpecifierSet


@cache
def available(package: str, versions: str = "") -> bool:
    """Whether ``package`` is installed, in one of ``versions`` (as in ``">=1.0"``) if they are given.

    Args:
        package: the name under which it is imported, which must be its distribution's too where versions matter.
        versions: a specifier as for pip; pre-releases count.
    """
    if find_spec(package) is None:
        return False
    if not versions:
        return True
    try:
        found = metadata.version(package).partition("+")[0]
    except metadata.PackageNotFoundError:
        return False
    return SpecifierSet(versions, prereleases=True).contains(found)


_IS_WINDOWS = platform.system() == "Windows"
_IS_INTERACTIVE = hasattr(sys, "ps1") or bool(sys.flags.interactive)
_NUMPY_AVAILABLE = available("numpy")
_OMEGACONF_AVAILABLE = available("omegaconf")
_RICH_AVAILABLE = available("rich", ">=10.2.2")
_TORCHVISION_AVAILABLE = available("torchvision")
_PYTHON_GREATER_EQUAL_3_10_0 = _PYTHON_GREATER_EQUAL_3_11_0 = True  # what Lit Studio itself needs
_TORCHMETRICS_GREATER_EQUAL_0_8_0 = available("torchmetrics", ">=0.8")
_TORCHMETRICS_GREATER_EQUAL_0_9_1 = available("torchmetrics", ">=0.9.1")
_TORCHMETRICS_GREATER_EQUAL_0_11 = available("torchmetrics", ">=0.11")
_TORCHMETRICS_GREATER_EQUAL_1_0_0 = available("torchmetrics", ">=1.0")
_TORCH_GREATER_EQUAL_2_2 = available("torch", ">=2.2")
_TORCH_GREATER_EQUAL_2_3 = available("torch", ">=2.3")
_TORCH_GREATER_EQUAL_2_4 = available("torch", ">=2.4")
_TORCH_GREATER_EQUAL_2_4_1 = available("torch", ">=2.4.1")
_TORCH_GREATER_EQUAL_2_5 = available("torch", ">=2.5")
_TORCH_GREATER_EQUAL_2_6 = available("torch", ">=2.6")
_TORCH_GREATER_EQUAL_2_8 = available("torch", ">=2.8")
_TORCH_EQUAL_2_4_0 = available("torch", "==2.4.0")
_TORCH_EQUAL_2_8 = available("torch", ">=2.8,<2.9")
_TORCH_EQUAL_2_9 = available("torch", ">=2.9,<2.10")
_TORCH_LESS_EQUAL_2_6 = available("torch", "<=2.6")
