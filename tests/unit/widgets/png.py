"""Reading the PNGs that we write, by the book: signature, checksums, filters, palette."""

from __future__ import annotations

import struct
import zlib

import numpy as np


def read(data: bytes) -> np.ndarray:
    """The pixels as u8[height, width, 4]."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(name + body)
        chunks[name] = body
        at += 12 + length
    assert name == b"IEND"
    width, height, depth, kind = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    assert depth == 8
    channels = {2: 3, 3: 1}[kind]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + channels * width)
    assert not rows[:, 0].any()
    pixels = rows[:, 1:].reshape(height, width, channels)
    out = np.full((height, width, 4), 255, np.uint8)
    if kind == 3:
        palette = np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)
        out[..., :3] = palette[pixels[..., 0]]
        opacity = np.full(256, 255, np.uint8)
        opacity[: len(chunks[b"tRNS"])] = np.frombuffer(chunks[b"tRNS"], np.uint8)
        out[..., 3] = opacity[pixels[..., 0]]
    else:
        out[..., :3] = pixels
    return out
