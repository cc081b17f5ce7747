"""From data to pixels, and round tick values on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor, log10


@dataclass(frozen=True, slots=True)
class LogScale:
    """A logarithmic scale: ``low`` and ``high`` (both positive) fall on the pixels ``start`` and ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Pixel of ``value``, clamped to the ends."""
        part = (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low))
        return self.start + min(1.0, max(0.0, part)) * (self.end - self.start)

    def free(self, value: float) -> float:
        """Pixel of ``value`` without clamping."""
        return self.start + (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low)) * (self.end - self.start)

    def decades(self) -> list[float]:
        """The powers of ten within the scale, thinned to at most ten."""
        first, last = ceil(log10(self.low) - 1e-9), floor(log10(self.high) + 1e-9)
        step = max(1, ceil((last - first + 1) / 10))
        return [10.0**power for power in range(first, last + 1) if (power - first) % step == 0]

    def minor(self) -> Iterator[float]:
        """2 to 9 times each power of ten within the scale."""
        for power in range(floor(log10(self.low)), ceil(log10(self.high)) + 1):
            for digit in range(2, 10):
                value = digit * 10.0**power
                if self.low < value < self.high:
                    yield value


@dataclass(frozen=True, slots=True)
class LinearScale:
    """A linear scale: ``low`` and ``high`` fall on the pixels ``start`` and ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Pixel of ``value``."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, wanted: int) -> list[float]:
        """About ``wanted`` round values (1, 2 or 5 times a power of ten apart) within the scale."""
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        raw = span / max(1, wanted)
        power = 10.0 ** floor(log10(raw))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
        first = ceil(self.low / step - 1e-9)
        return [index * step for index in range(first, floor(self.high / step + 1e-9) + 1)]
