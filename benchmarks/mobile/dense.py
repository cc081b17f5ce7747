"""Dense MobileNets timed with XNNPACK: the rows that constants of ``simd`` units are fitted to, and rows held out.

github google/XNNPACK, README.md: Pixel phones 27 March 2020, Raspberry Pi boards 12 February 2020. Whole milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

MODELS = ("mobilenet-v1", "mobilenet-v2", "mobilenet-v3-large", "mobilenet-v3-small")


@dataclass(frozen=True)
class Column:
    """One column of the tables: a device, how it was run, milliseconds by model in the order of ``MODELS``."""

    title: str
    hardware: str
    overrides: dict[str, str]
    milliseconds: tuple[float, ...]


FITTED = (
    Column("Pixel 2, one thread", "snapdragon-835", {"unit.cpu.count": "1", "clock": "2.35 GHz"}, (86, 53, 42, 14)),
    Column("Pixel 2, four threads", "snapdragon-835", {"unit.cpu.count": "4", "clock": "2.35 GHz"}, (27, 18, 16, 6)),
)
"""The Pixel 2 clocks the Kryo 280 Gold cores of its Snapdragon 835 at 2.35 GHz."""

HELD_OUT = (
    Column("Raspberry Pi 3 B+, four threads", "raspberry-pi-3", {}, (115, 79, 67, 23)),
    Column("Raspberry Pi 4, four threads", "raspberry-pi-4", {}, (75, 44, 41, 14)),
)
