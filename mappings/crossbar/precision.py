"""What arrays do to the numbers: the product of one layer as bit slices, input phases, noisy sums and converters give it, in NumPy.

A guard, not an accuracy simulator: it draws one layer's weights and inputs with a seed and says how far the arrays' product is from the
exact one, so that a converter of fewer bits never looks free. For the accuracy of a network, with drift, wires' resistance and training,
there are aihwkit (Rasch et al., arXiv 2104.02184) and CrossSim (Sandia).

Formulas. A weight w is stored in digits of ``bits_per_cell`` bits: of w + 2^(b-1) (offset; the digital side takes 2^(b-1) sum(x) away, as
in Shafiee et al., ISAAC, ISCA 2016, section 5), of max(w, 0) and max(-w, 0) in two columns (differential), or of |w| in cells that hold
signs (signed). An input is applied in digits of the driver's bits. Every digit pair gives a column sum over the rows driven at once; read
noise of a cell adds a Gaussian of standard deviation ``read_noise (2^cell bits - 1) sqrt(sum(x^2))`` to it. The converter has 2^r codes, a
step of at least one apart; if these do not reach all possible sums, they lie where calibration would put them: of several windows, from
one and a half standard deviations around the mean of the layer's sums to all sums there can be, the one of least squared error of the
product. What lies beyond is clipped. Codes are shifted and added exactly.
"""

from __future__ import annotations

from math import floor, log10, sqrt
from typing import TYPE_CHECKING

from hwspecs.crossbar import PULSE_WIDTH
from hwspecs.hardware import ComputeUnit, Hardware
from hwspecs.vocabulary.records import dataclass
from mappings.crossbar.machine import machine_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

DIFFERENTIAL, OFFSET, UNSIGNED, SIGNED = "differential", "offset", "unsigned", "signed"
_SIGMAS = (1.5, 2.0, 3.0, 4.0, 6.0)
"""How far from the mean of the sums a calibrated converter may reach, in standard deviations."""
SAMPLES, COLUMNS = 32, 32
"""Input vectors, and columns of weights, of one check at most."""
CONVERSIONS = 400_000
"""Conversions of one check: layers of many rows and slices are looked at in fewer vectors and columns."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How arrays multiply.

    Attributes:
        rows: of an array; ``rows_per_read``: of them driven at once.
        bits_per_cell, weight_bits, input_bits: bits of a cell, a weight, an input; ``scheme``: how signs are stored.
        driver_bits: bits of an input that one phase applies.
        resolution: bits of the converter, saved ones added; 0: sums are digital and exact.
        read_noise: standard deviation of one cell's read, as a share of the full range.
    """

    rows: int
    rows_per_read: int
    bits_per_cell: int
    weight_bits: int
    input_bits: int
    scheme: str
    driver_bits: int
    resolution: int
    read_noise: float = 0.0

    @property
    def weight_range(self) -> tuple[int, int]:
        """Least and greatest weight."""
        if self.scheme == UNSIGNED:
            return 0, 2**self.weight_bits - 1
        if self.scheme == OFFSET:
            return -(2 ** (self.weight_bits - 1)), 2 ** (self.weight_bits - 1) - 1
        most = max(1, 2 ** (self.weight_bits - 1) - 1)
        return -most, most

    @property
    def greatest_sum(self) -> int:
        """The largest sum of a column (in magnitude): every row driven at its most, every cell full."""
        return int(min(self.rows_per_read, self.rows) * (2**self.bits_per_cell - 1) * (2**self.driver_bits - 1))

    def sums(self, k: int) -> int:
        """Column sums behind one result of a layer of ``k`` rows."""
        whole, rest = divmod(k, self.rows)
        reads = whole * -(-self.rows // self.rows_per_read) + -(-rest // self.rows_per_read)
        digits = -(-self.weight_bits // self.bits_per_cell) * (2 if self.scheme == DIFFERENTIAL else 1)
        return reads * digits * -(-self.input_bits // self.driver_bits)


@dataclass(frozen=True, slots=True)
class Precision:
    """How far the product of a layer on arrays is from the exact one. Errors are root mean squares over that of the exact product.

    Attributes:
        error: against real numbers; ``quantization_error``: of rounding weights and inputs alone; ``array_error``: of the arrays alone,
            against the product of the rounded numbers.
        clipped: share of conversions beyond the converter's range; ``conversions``: that were made.
    """

    error: float
    quantization_error: float
    array_error: float
    clipped: float
    conversions: int

    @property
    def snr_db(self) -> float | None:
        """Signal to noise in dB; None where there is no noise."""
        return -20.0 * log10(self.error) if self.error > 0.0 else None


def arithmetic_of(unit: ComputeUnit, hardware: Hardware, input_bits: int | None = None) -> Arithmetic:
    """What the spec of a crossbar says of its arithmetic, for inputs of ``input_bits`` (the unit's own if None)."""
    machine = machine_of(unit, hardware)
    reading = machine.reading
    bits = reading.input_bits if input_bits is None else min(input_bits, reading.input_bits)
    driver = bits if reading.driver == PULSE_WIDTH else min(reading.driver_bits, bits)
    return Arithmetic(
        rows=reading.rows,
        rows_per_read=reading.rows_per_read,
        bits_per_cell=reading.bits_per_cell,
        weight_bits=reading.weight_bits,
        input_bits=bits,
        scheme=str(unit.parameters.get("columns_scheme", OFFSET)),
        driver_bits=driver,
        resolution=reading.resolution + machine.saved_bits if reading.converter else 0,
        read_noise=float(unit.parameters.get("read_noise", 0.0)),
    )


def product(x: Numbers, w: Numbers, arrays: Arithmetic, draw: np.random.Generator) -> tuple[Numbers, int, int]:
    """(x @ w as the arrays give it, conversions beyond the range, conversions).

    Args:
        x: whole numbers (vectors, K) from 0 to 2^input_bits - 1; w: whole numbers (K, N) in ``arrays.weight_range``.
        draw: read noise comes from here.
    """
    import numpy as np

    factors: list[float] = []
    sums: list[Numbers] = []
    spread: list[Numbers] = []
    for rows in _reads(x.shape[1], arrays):
        for scale, digit in _digits(x[:, rows], arrays.input_bits, arrays.driver_bits):
            energy = np.sqrt((digit**2).sum(axis=1, keepdims=True))
            for factor, plane in _planes(w[rows], arrays):
                factors.append(scale * factor)
                sums.append(digit @ plane)
                spread.append(energy)
    found = np.stack(sums)
    if arrays.read_noise:
        scale = arrays.read_noise * (2**arrays.bits_per_cell - 1)
        found = found + scale * np.stack(spread) * draw.standard_normal(found.shape)
    taken = 2.0 ** (arrays.weight_bits - 1) * x.sum(axis=1, keepdims=True) if arrays.scheme == OFFSET else 0.0
    if not arrays.resolution:
        return np.tensordot(np.array(factors), found, axes=1) - taken, 0, 0
    exact = x @ w
    best: tuple[float, Numbers, int] | None = None
    for low, step in _windows(found, arrays):
        codes = np.rint((found - low) / step)
        kept = np.clip(codes, 0, 2**arrays.resolution - 1)
        result = np.tensordot(np.array(factors), low + step * kept, axes=1) - taken
        error = float(((result - exact) ** 2).sum())
        if best is None or error < best[0]:
            best = error, result, int((codes != kept).sum())
    assert best is not None  # there is always a window
    return best[1], best[2], found.size


def _reads(rows: int, arrays: Arithmetic) -> Iterator[slice]:
    """Rows of the matrix that are driven together: arrays one below the other, each in sets."""
    for start in range(0, rows, arrays.rows):
        end = min(start + arrays.rows, rows)
        for first in range(start, end, arrays.rows_per_read):
            yield slice(first, min(first + arrays.rows_per_read, end))


def _digits(values: Numbers, bits: int, each: int) -> Iterator[tuple[float, Numbers]]:
    """Digits of ``each`` bits with what they count, least first."""
    import numpy as np

    rest = values
    for place in range(-(-bits // each)):
        low = np.mod(rest, 2.0**each)
        yield 2.0 ** (each * place), low
        rest = np.floor_divide(rest, 2.0**each)


def _planes(w: Numbers, arrays: Arithmetic) -> Iterator[tuple[float, Numbers]]:
    """Columns of cells that hold one digit of each weight, with what they count."""
    import numpy as np

    bits, each = arrays.weight_bits, arrays.bits_per_cell
    if arrays.scheme == DIFFERENTIAL:
        for sign in (1.0, -1.0):
            for scale, digit in _digits(np.maximum(sign * w, 0.0), bits, each):
                yield sign * scale, digit
    elif arrays.scheme == SIGNED:
        for scale, digit in _digits(np.abs(w), bits, each):
            yield scale, np.sign(w) * digit
    else:
        yield from _digits(w + 2.0 ** (bits - 1) if arrays.scheme == OFFSET else w, bits, each)


def _windows(sums: Numbers, arrays: Arithmetic) -> list[tuple[float, float]]:
    """(lowest code, step between codes) that a calibration may choose from."""
    codes = 2**arrays.resolution - 1
    mean, deviation, most = float(sums.mean()), float(sums.std()), float(arrays.greatest_sum)
    least = -most if arrays.scheme == SIGNED else 0.0
    ranges = [(max(least, floor(mean - sigmas * deviation)), min(most, mean + sigmas * deviation)) for sigmas in _SIGMAS]
    ranges += [(least, high) for _, high in ranges]
    found = {(low, max(1.0, (high - low) / codes)) for low, high in [*ranges, (least, most)]}
    return sorted(found | {(least, 1.0)})


def check(
    k: int, n: int, arrays: Arithmetic, *, density: float = 1.0, samples: int = SAMPLES, columns: int = COLUMNS, seed: int = 0,
    conversions: int = CONVERSIONS,
) -> Precision:  # fmt: skip
    """The precision of a layer of ``k`` x ``n`` weights on ``arrays``, on drawn numbers: Gaussian weights, Gaussian inputs behind
    a rectifier.

    Args:
        density: share of the inputs that are there, drawn before the rectifier; inputs of one bit are events.
        samples: vectors; ``columns``: outputs that are looked at; both at most, and fewer where they would take more
            than ``conversions``. Equal seeds draw equal numbers.
    """
    import numpy as np

    sums = arrays.sums(k)
    columns = max(1, min(n, columns, conversions // (sums * samples)))
    samples = max(1, min(samples, conversions // (sums * columns)))
    draw = np.random.default_rng(seed)
    real_w = draw.standard_normal((k, columns))
    least, most = arrays.weight_range
    real_w = np.abs(real_w) if least == 0 else real_w
    real_x = np.maximum(draw.standard_normal((samples, k)), 0.0)
    if arrays.input_bits == 1:
        real_x = np.ones_like(real_x)
    if density < 1.0:
        real_x = real_x * (draw.random(real_x.shape) < density)
    step_w = float(np.abs(real_w).max()) / max(1, most)
    step_x = max(float(real_x.max()), 1e-30) / (2**arrays.input_bits - 1)
    w = np.clip(np.rint(real_w / step_w), least, most)
    x = np.rint(real_x / step_x)
    given, clipped, converted = product(x, w, arrays, draw)
    exact, rounded, unit = real_x @ real_w, x @ w, step_x * step_w
    return Precision(
        error=_share(given * unit - exact, exact),
        quantization_error=_share(rounded * unit - exact, exact),
        array_error=_share(given - rounded, rounded),
        clipped=clipped / converted if converted else 0.0,
        conversions=converted,
    )


def _share(error: Numbers, exact: Numbers) -> float:
    """Root mean square of ``error`` over that of ``exact``; of zeros against zeros 0."""
    size = sqrt(float((exact**2).mean()))
    off = sqrt(float((error**2).mean()))
    return off / size if size else 0.0 if not off else float("inf")
