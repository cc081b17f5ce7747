"""Inner loops in instructions: matrix product, depthwise convolution, sparse times dense, sweeps over elements.

The loops are those of the XNNPACK library, counted from its published micro-kernels: ``f32-gemm`` and ``f32-igemm`` (6x8, weights packed
by columns), ``f32-dwconv`` (one vector of channels, all taps), ``f32-spmm`` (pixels in vectors, output channels one by one or in
blocks; Elsen et al., Fast Sparse ConvNets, CVPR 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from mappings.simd.core import CACHE_SHARE, Core, Stream, Work

SCALAR_BYTES = 8
"""What one scalar load takes of the path to the innermost cache."""
_LOOP = 2
"""Instructions of a loop's end: count down, branch."""
_CLAMP = 2
"""Minimum and maximum before a result is stored."""
_UNROLL = 4
"""Steps of k in one turn of the matrix product's loop, which reads four values of a row with one load."""
_TILE_CALL = 10
"""Pointers and counters set up for a tile of results."""
_INDEX = 2
"""Per block of a sparse matrix: load the step to its activations, add it to the pointer."""
_PREFETCH = 1
"""Per term of a block: the pixels behind these are asked for (since the library's first release, so in all published timings)."""
_INDEX_BYTES = 4


@dataclass(frozen=True, slots=True)
class Product:
    """A dense or sparse product as the kernels see it.

    Attributes:
        batch, m, n, k: independent products of m rows (pixels), n columns (output channels), k terms.
        run: terms of k that lie side by side in memory (the channels); k / run taps are reached by pointers.
        a_bytes, b_bytes, out_bytes: as stored, all batches together.
        kept: kept weights, all batches together; ``block``: (output channels, terms) kept or dropped together; (0, 0) if dense.
    """

    batch: int
    m: int
    n: int
    k: int
    run: int
    a_bytes: int
    b_bytes: int
    out_bytes: int
    kept: int = 0
    block: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a nest costs on the cores.

    Attributes:
        cycles: of the slowest core, caches aside; ``streams``: bytes that all cores together go through, with passes.
        loaded: bytes between registers and innermost cache, all cores together.
        weight_passes, activation_passes: how often they come from off chip.
        weight_bytes: bytes of one pass over the weights in the form that the kernel reads.
        translation: cycles in which the slowest core waits for addresses of pages.
    """

    cycles: float
    streams: tuple[Stream, ...]
    loaded: float
    weight_passes: int = 1
    activation_passes: int = 1
    weight_bytes: int = 0
    translation: float = 0.0


def shared_out(units: int, unit_cycles: float, threads: int) -> float:
    """Cycles of the core with the most of ``units`` equal pieces."""
    return ceil(units / threads) * unit_cycles


def dense(product: Product, core: Core, lanes: int, columns_outer: bool) -> Cost:
    """Register tiles of ``rows`` x ``vectors``; partial tiles cost as full ones, a single row has a kernel of its own.

    Rows outer: for each ``rows`` rows all weights pass by (XNNPACK on one thread). Columns outer: for each panel of weights all rows.
    """
    rows = core.rows if product.m > 1 else 1
    width = core.vectors * lanes
    groups = product.run // _UNROLL + product.run % _UNROLL  # loads of a row: four values at a time, the rest one by one
    step = Work(
        arithmetic=rows * core.vectors,
        instructions=rows * core.vectors + core.vectors + rows * groups / product.run + _LOOP / _UNROLL,
        loaded=core.vectors * core.vector_bytes + rows * SCALAR_BYTES * (product.run // _UNROLL * 2 + product.run % _UNROLL) / product.run,
        chain=1.0,
    )
    results = rows * core.vectors
    taps = product.k // product.run
    end = Work(
        arithmetic=_CLAMP * results,
        instructions=(2 + _CLAMP) * results + core.vectors + _TILE_CALL + (rows * taps if taps > 1 else 0),
        loaded=(results + core.vectors) * core.vector_bytes,
    )
    row_tiles, panels = ceil(product.m / rows), ceil(product.n / width)
    tiles = product.batch * row_tiles * panels
    cycles = shared_out(tiles, product.k * core.cycles(step) + core.cycles(end), core.threads)
    last = len(core.caches) - 1
    one_weights, one_rows = product.b_bytes / product.batch, product.a_bytes / product.batch
    if columns_outer:
        a_passes, b_passes = panels, 1
    else:
        panel_rows = core.fits(0, rows * product.k * core.vector_bytes / lanes)
        a_passes, b_passes = (1 if panel_rows else panels), row_tiles
    return Cost(
        cycles,
        (Stream(one_weights, b_passes * product.batch), Stream(one_rows, a_passes * product.batch), Stream(float(product.out_bytes))),
        tiles * (product.k * step.loaded + end.loaded),
        weight_passes=1 if core.fits(last, one_weights) else ceil(b_passes / core.threads),
        activation_passes=1 if not columns_outer or core.fits(last, one_rows) else ceil(a_passes / core.threads),
        weight_bytes=product.b_bytes,
    )


def depthwise(pixels: int, channels: int, taps: int, sizes: tuple[int, int, int], core: Core, lanes: int) -> Cost:
    """One vector of channels of one pixel at a time: an input, a weight and a multiply-accumulate per tap.

    Args:
        sizes: bytes of input, weights and output.
    """
    vectors = ceil(channels / lanes)
    work = Work(
        arithmetic=taps + _CLAMP,
        instructions=3 * taps + 1 + _CLAMP + 1 + _LOOP + taps / (2 * vectors),
        loaded=(2 * taps + 2) * core.vector_bytes + taps * SCALAR_BYTES / vectors,
    )
    cycles = shared_out(pixels * vectors, core.cycles(work), core.threads)
    height = max(1, round(taps**0.5))
    streams = (Stream(float(sizes[0]), height), Stream(float(sizes[1]), pixels), Stream(float(sizes[2])))
    return Cost(cycles, streams, pixels * vectors * work.loaded, weight_bytes=sizes[1])


def sparse_pixels(m: int, core: Core, lanes: int) -> dict[int, int]:
    """Pieces that m pixels are worked on in: pixels of a piece to number of pieces; full ones, then halves down to one pixel."""
    pieces = {}
    size = core.pixels * lanes
    while size:
        if count := m // size:
            pieces[size] = count
        m %= size
        size //= 2
    return pieces


def sparse(product: Product, core: Core, lanes: int) -> Cost:
    """Sparse weights times dense pixels, channels outermost in memory: for each piece of pixels, all kept blocks, row by row.

    Each block decodes one index, loads the activations of its terms and the weights, and adds to ``block rows`` x pixels results.
    More rows in a block use the same activations and the same index for more products. The map of a channel is ``m`` values long, so each
    block goes to another map and, where the maps of all channels are many pages, to a page that the core must look up again; so does each
    row of results. Pages of consecutive blocks differ: rows keep their terms in ascending order.
    """
    rows, terms = product.block
    blocks = product.kept / (product.batch * rows * terms)
    element = core.vector_bytes / lanes
    weight_bytes = ceil(product.kept * element + product.batch * (blocks + ceil(product.n / rows)) * _INDEX_BYTES)
    groups = ceil(product.n / rows)
    total = loaded = activations = again = waiting = 0.0
    plane = product.m * element / core.page_bytes
    pages = (product.k + product.n) * plane if plane < 1.0 else float(product.k + product.n)
    visits = _pages_visited(blocks, groups, terms, product.k, plane) + groups * min(rows, max(1.0, rows * plane))
    count = 0
    room = core.caches[0].size_bytes * CACHE_SHARE
    for pixels, pieces in sparse_pixels(product.m, core, lanes).items():
        vectors = ceil(pixels / lanes)
        block = Work(
            arithmetic=vectors * rows * terms,
            instructions=vectors * terms + terms * ceil(rows / lanes) + vectors * rows * terms + terms * _PREFETCH + _INDEX + _LOOP,
            loaded=terms * (min(pixels * element, vectors * core.vector_bytes) + max(SCALAR_BYTES, rows * element)) + SCALAR_BYTES,
            chain=float(terms),
        )
        end = Work(
            arithmetic=_CLAMP * vectors * rows,
            instructions=(2 + _CLAMP) * vectors * rows + rows + 1 + _LOOP,
            loaded=vectors * rows * core.vector_bytes + rows * SCALAR_BYTES,
        )
        piece = blocks * core.cycles(block) + groups * core.cycles(end)
        total += shared_out(product.batch * pieces, piece, core.threads)
        loaded += product.batch * pieces * (blocks * block.loaded + groups * end.loaded)
        slice_bytes = product.k * pixels * element
        touched = blocks * terms * pixels * element
        activations += product.batch * pieces * min(slice_bytes, touched)
        again += product.batch * pieces * max(0.0, touched - slice_bytes) * (1.0 - min(1.0, room / slice_bytes))
        waiting += shared_out(product.batch * pieces, core.translation(visits, pages), core.threads)
        count += pieces
    last = len(core.caches) - 1
    one = weight_bytes / product.batch
    streams = (Stream(one, count * product.batch), Stream(activations), Stream(again), Stream(float(product.out_bytes)))
    passes = 1 if core.fits(last, one) else ceil(count / core.threads)
    return Cost(total, streams, loaded, weight_passes=passes, weight_bytes=weight_bytes, translation=waiting)


def _pages_visited(blocks: float, groups: int, terms: int, k: int, plane: float) -> float:
    """Changes of page while all blocks are worked on once: each group of rows goes through the maps of its terms in ascending order.

    Args:
        plane: pages that the map of one channel takes. Below one, several maps share a page; the terms of a group are taken as spread
            at random, so that of ``p`` pages, ``t`` terms meet ``p (1 - (1 - 1 / p)^t)``.
    """
    each = blocks * terms / groups
    if plane >= 1.0:
        return each * groups
    pages = max(1.0, k * plane)
    missed: float = (1.0 - 1.0 / pages) ** each
    return groups * pages * (1.0 - missed)


def sweep(points: int, operations: float, reads: int, writes: int, core: Core, lanes: int) -> Cost:
    """One pass over elements: per vector its loads, ``operations`` and stores; the bytes move through every cache once."""
    vectors = ceil(points / lanes)
    work = Work(operations, operations + reads + writes + _LOOP / _UNROLL, (reads + writes) * core.vector_bytes)
    moved = vectors * (reads + writes) * core.vector_bytes
    return Cost(shared_out(vectors, core.cycles(work), core.threads), (Stream(float(moved)),), float(moved))
