"""Event data that the project makes itself, so that spike densities have a script and a seed behind them.

These are stand-ins, not the data sets: shapes and rates are like those of event cameras (N-MNIST: three saccades over a still digit),
silicon cochleas (N-TIDIGITS: formants that glide through the channels), electrodes and rate-coded images. Densities that they give are
assumed numbers of a workload; a user with the data set at hand states its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isqrt
from types import MappingProxyType
from typing import TYPE_CHECKING

from hwspecs.vocabulary.errors import ArgumentError, UnknownNameError
from hwspecs.vocabulary.suggest import did_you_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Events = NDArray[np.bool_]
    Image = NDArray[np.float64]

_SACCADES = ((0.0, 0.0), (0.5, 1.0), (1.0, 0.0), (0.0, 0.0))
"""Corners of the triangle that an event camera is moved along over a digit (Orchard et al., Frontiers in Neuroscience 9:437, 2015)."""
_TRAVEL = 0.25
"""Side of that triangle as a share of the field."""
_CONTRAST = 0.03
"""Change of brightness that makes an event, as a share of the full range."""
_EVENT_NOISE = 0.002
"""Events per pixel and step that nothing in the picture makes."""


def events_of(encoding: str, samples: int, steps: int, channels: int, *, seed: int = 0) -> Events:
    """Events (samples, steps, channels), drawn with ``seed``: equal arguments give equal events.

    Args:
        encoding: a key of ``ENCODINGS``: ``strokes`` (a written shape under a moving event camera, one polarity; channels are a square),
            ``formants`` (Poisson cochlea), ``electrodes`` (Poisson units with rates of their own), ``rates`` (a still image, each pixel a
            Bernoulli coin per step; channels are a square).

    Raises:
        UnknownNameError: no such encoding.
        ArgumentError: a size is below 1, or the channels of an image are no square.
    """
    import numpy as np

    if encoding not in ENCODINGS:
        raise UnknownNameError(f"unknown encoding {encoding!r}", hint=did_you_mean(encoding, ENCODINGS))
    for name, size in (("samples", samples), ("steps", steps), ("channels", channels)):
        if size < 1:
            raise ArgumentError(f"{name} is {size}", where="events", hint="it must be at least 1")
    draw = np.random.default_rng(seed)
    return np.stack([ENCODINGS[encoding](draw, steps, channels) for _ in range(samples)])


def _side(channels: int) -> int:
    side = isqrt(channels)
    if side * side != channels:
        raise ArgumentError(f"{channels} channels are no square image", where="events", hint="give 256, 784, ... channels")
    return side


def _shape(draw: np.random.Generator, side: int) -> tuple[Image, Image]:
    """Corners (x, y) of a stroke of three segments through the field, in pixels."""
    points = draw.uniform(0.15, 0.85, size=(2, 4)) * (side - 1)
    return points[0], points[1]


def _drawn(corners: tuple[Image, Image], side: int, shift: tuple[float, float]) -> Image:
    """Brightness (side, side) of the stroke moved by ``shift`` pixels: one on the line, falling to zero over a pen's width."""
    import numpy as np

    rows, columns = np.mgrid[0:side, 0:side].astype(np.float64)
    nearest = np.full((side, side), np.inf)
    x, y = corners[0] + shift[0], corners[1] + shift[1]
    for start in range(len(x) - 1):
        dx, dy = x[start + 1] - x[start], y[start + 1] - y[start]
        length = max(dx * dx + dy * dy, 1e-9)
        along = np.clip(((columns - x[start]) * dx + (rows - y[start]) * dy) / length, 0.0, 1.0)
        distance = np.hypot(columns - x[start] - along * dx, rows - y[start] - along * dy)
        nearest = np.minimum(nearest, distance)
    pen = side / 12
    brightness: Image = np.clip(1.5 - nearest / pen, 0.0, 1.0)
    return brightness


def _strokes(draw: np.random.Generator, steps: int, channels: int) -> Events:
    """A written shape under a camera on three saccades; an event where brightness has risen since the pixel's last event."""
    import numpy as np

    side = _side(channels)
    corners = _shape(draw, side)
    path = np.linspace(0.0, 3.0, steps + 1)
    legs = np.arange(4)
    east = np.interp(path, legs, [corner[0] for corner in _SACCADES]) * _TRAVEL * side
    south = np.interp(path, legs, [corner[1] for corner in _SACCADES]) * _TRAVEL * side
    seen = _drawn(corners, side, (east[0], south[0]))
    events = draw.random((steps, side, side)) < _EVENT_NOISE
    for step in range(steps):
        now = _drawn(corners, side, (east[step + 1], south[step + 1]))
        brighter, darker = now - seen >= _CONTRAST, seen - now >= _CONTRAST
        events[step] |= brighter
        seen = np.where(brighter | darker, now, seen)
    return events.reshape(steps, channels)


def _formants(draw: np.random.Generator, steps: int, channels: int) -> Events:
    """Three formants that glide through the channels while a word lasts, and silence around it; binned Poisson events."""
    import numpy as np

    time, channel = np.arange(steps) / max(1, steps - 1), np.arange(channels) / channels
    start, length = draw.uniform(0.0, 0.3), draw.uniform(0.4, 0.65)
    loudness = np.clip(np.sin(np.pi * np.clip((time - start) / length, 0.0, 1.0)), 0.0, 1.0)
    rate = np.full((steps, channels), 0.01)
    for formant, strength in enumerate((0.9, 0.7, 0.4)):
        first, last = draw.uniform(0.1 + 0.25 * formant, 0.35 + 0.25 * formant, size=2)
        centre = first + (last - first) * time
        rate += strength * loudness[:, None] * np.exp(-(((channel[None, :] - centre[:, None]) / 0.06) ** 2))
    events: Events = draw.random((steps, channels)) < 1.0 - np.exp(-rate)
    return events


def _electrodes(draw: np.random.Generator, steps: int, channels: int) -> Events:
    """Units with rates of their own (log-normal around one event in four steps) that swing with the movement; binned Poisson events."""
    import numpy as np

    time = np.arange(steps) / max(1, steps - 1)
    base = np.exp(draw.normal(np.log(0.25), 0.6, size=channels))
    phase, turns = draw.uniform(0, 2 * np.pi, size=channels), draw.uniform(0.5, 2.0, size=channels)
    rate = base[None, :] * (1.0 + 0.6 * np.sin(2 * np.pi * turns[None, :] * time[:, None] + phase[None, :]))
    events: Events = draw.random((steps, channels)) < 1.0 - np.exp(-rate)
    return events


def _rates(draw: np.random.Generator, steps: int, channels: int) -> Events:
    """A still written shape; in each step a pixel has an event with the probability of its brightness."""
    side = _side(channels)
    picture = _drawn(_shape(draw, side), side, (0.0, 0.0)).reshape(1, channels)
    events: Events = draw.random((steps, channels)) < picture
    return events


ENCODINGS: Mapping[str, Callable[[np.random.Generator, int, int], Events]] = MappingProxyType(
    {"strokes": _strokes, "formants": _formants, "electrodes": _electrodes, "rates": _rates}
)
"""How one sample (steps, channels) is made."""
