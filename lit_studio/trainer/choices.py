"""Enumerations that compare with strings, whatever their case.

It must not know who chooses.
"""

from __future__ import annotations

import warnings
from enum import Enum
from typing import Any, Literal

from lit_studio.base.errors import InvalidValueError

Source = Literal["key", "value", "any"]


class LightningEnum(str, Enum):  # noqa: UP042 - a StrEnum's values would be compared with their case
    """A base for enumerations of strings; members equal their values in any case."""

    @classmethod
    def from_str(cls, value: str, source: Source = "key") -> Any:
        """The member that ``value`` names.

        Args:
            value: in any case.
            source: whether it is a member's name (``"key"``), its value, or either (``"any"``).

        Raises:
            InvalidValueError: there is none.
        """
        keys = {name.lower(): one for name, one in cls.__members__.items()} if source != "value" else {}
        values = {one.value.lower(): one for one in cls} if source != "key" else {}
        found = {**values, **keys}
        if value.lower() not in found:
            raise InvalidValueError("Invalid match", value=value, valid=f"one of {', '.join(found)}")
        return found[value.lower()]

    @classmethod
    def try_from_str(cls, value: str, source: Source = "key") -> Any:
        """The same, or None with a warning."""
        try:
            return cls.from_str(value, source)
        except InvalidValueError as error:
            warnings.warn(f"Invalid string: {error}", stacklevel=2)
            return None

    def __eq__(self, other: object) -> bool:
        theirs = other.value if isinstance(other, Enum) else other
        return self.value.lower() == str(theirs).lower()

    def __hash__(self) -> int:
        return hash(self.value.lower())


class GradClipAlgorithmType(LightningEnum):
    """How gradients are clipped."""

    VALUE = "value"
    NORM = "norm"

    @staticmethod
    def supported_type(val: str) -> bool:
        """Whether ``val`` is one of them."""
        return any(val.lower() == one.value for one in GradClipAlgorithmType)

    @staticmethod
    def supported_types() -> list[str]:
        """All of them."""
        return [one.value for one in GradClipAlgorithmType]
