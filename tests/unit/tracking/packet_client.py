"""A small reference client of packets, as a screen would be one: it keeps what it holds and asks for the rest."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np


def decode(packet: bytes) -> tuple[dict[str, Any], list[tuple[np.ndarray, np.ndarray]]]:
    """Header and ``(x, y)`` of each series, then of each branch; every byte must be accounted for."""
    magic, length = struct.unpack_from("<4sI", packet)
    assert magic == b"LSC1"
    at = 8 + length
    assert at % 8 == 0
    header = json.loads(packet[8:at].decode())
    arrays = []
    for entry in header["series"] + header["branches"]:
        n = entry["points"]
        x = np.frombuffer(packet, "<f8", n, at)
        at += 8 * n
        y = np.frombuffer(packet, "<f4", n, at)
        at += (4 * n + 7) // 8 * 8
        arrays.append((x, y))
    assert at == len(packet)
    return header, arrays


class Client:
    """Holds what a screen holds, of one axis and width."""

    def __init__(self, reader, axis: str = "step", width: int = 64):
        self.reader, self.axis, self.width = reader, axis, width
        self.shown: dict[int, tuple[int, np.ndarray, np.ndarray]] = {}
        self.branches: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        self.events: list[dict[str, Any]] = []
        self.header: dict[str, Any] = {}
        self.received = 0

    def poll(self) -> None:
        held = []
        for series, (stride, x, _) in self.shown.items():
            branches = len(self.branches.get(series, []))
            held.append(f"{series}:{stride}:{len(x) // (1 if stride == 1 else 2)}" + f":{branches}" * bool(branches))
        answer = self.reader.packet(width=self.width, axis=self.axis, have=",".join(held), events=len(self.events))
        self.received = len(answer)
        self.header, arrays = decode(answer)
        self.events += self.header["events"]
        assert len(self.events) == self.header["events_next"]
        series = self.header["series"]
        for entry, pair in zip(self.header["branches"], arrays[len(series) :], strict=True):
            held_branches = self.branches.setdefault(entry["series"], [])
            assert entry["number"] == len(held_branches)
            held_branches.append(pair)
        for entry, (x, y) in zip(series, arrays[: len(series)], strict=True):
            assert entry["branches"] == len(self.branches.get(entry["id"], []))
            keep = entry["start"] * (1 if entry["stride"] == 1 else 2)
            _, old_x, old_y = self.shown.get(entry["id"], (1, np.empty(0), np.empty(0, "f4")))
            assert keep <= len(old_x)
            self.shown[entry["id"]] = (
                entry["stride"],
                np.concatenate((old_x[:keep], x)),
                np.concatenate((old_y[:keep], y)),
            )

    def assert_equals_full(self) -> None:
        """What was put together from pieces is what a newcomer is told at once."""
        newcomer = Client(self.reader, self.axis, self.width)
        newcomer.poll()
        assert self.shown.keys() == newcomer.shown.keys()
        for series, (stride, x, y) in newcomer.shown.items():
            assert self.shown[series][0] == stride
            np.testing.assert_array_equal(self.shown[series][1], x)
            np.testing.assert_array_equal(self.shown[series][2], y)
        assert self.events == newcomer.events
        assert {series: len(each) for series, each in self.branches.items()} == {
            series: len(each) for series, each in newcomer.branches.items()
        }
