"""PNG files from pixels, with zlib alone.

It must not know what a picture shows.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}  # channels → grey, RGB, RGBA
_BOTH_FILTERS_BELOW = 1 << 20  # pixels; of larger pictures only the likelier filter is tried


def encode_pixels(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of u8[H, W, C], with C = 1 (grey), 3 (RGB) or 4 (RGBA, not premultiplied)."""
    height, width, channels = pixels.shape
    rows = pixels.reshape(height, width * channels)
    # Each row less the one above: smooth pictures become small. Few flat colours are smaller as they are.
    above = np.empty((height, rows.shape[1] + 1), np.uint8)
    above[:, 0] = 2
    above[0, 1:] = rows[0]
    above[1:, 1:] = rows[1:] - rows[:-1]
    body = zlib.compress(above.tobytes(), 6)
    if height * width <= _BOTH_FILTERS_BELOW:
        plain = np.zeros_like(above)
        plain[:, 1:] = rows
        body = min(body, zlib.compress(plain.tobytes(), 6), key=len)
    return assemble(width, height, _COLOUR_TYPES[channels], body)


def assemble(
    width: int, height: int, colour_type: int, body: bytes, palette: bytes = b"", opacity: bytes = b""
) -> bytes:
    """A PNG file of 8 bits a channel from its parts.

    Args:
        width: pixels.
        height: pixels.
        colour_type: as in the PNG specification.
        body: the compressed rows, each behind the number of its filter.
        palette: RGB triples, for colour type 3.
        opacity: a byte for each entry of the palette.
    """
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0))]
    if palette:
        chunks += [(b"PLTE", palette), (b"tRNS", opacity)]
    chunks += [(b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
