"""Reading runs: their series at any resolution, their events, and the packets that screens draw from.

It must not know who trains or who asks: it reads run directories, with numpy and ``base`` alone.
"""

from lit_studio.tracking.cache import ReaderCache
from lit_studio.tracking.packet import AXES, WIDTHS
from lit_studio.tracking.reader import RunReader

__all__ = ["AXES", "WIDTHS", "ReaderCache", "RunReader"]
