"""What a spec may say, as data: every key with its dimension, range and meaning.

These tables drive reading, checking, overriding, the JSON Schema for editors and the reference in ``docs/specs.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SCHEMA_VERSION = 1
WORD = "word"
"""Dimension of a leaf that is a word out of ``choices`` or a name."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One leaf.

    Attributes:
        dimension: a dimension of ``hwspecs.vocabulary.units``, or ``word``, ``flag`` (true or false), ``words`` (list of words), ``free``
            (number, quantity of any dimension or word).
        description: what it means, one line.
        required: the enclosing mapping must have it.
        choices: allowed words; empty means any.
        short: short forms of the words.
        low, high: allowed range in SI units; ``low`` itself is excluded where ``above`` is True.
    """

    dimension: str
    description: str
    required: bool = False
    choices: tuple[str, ...] = ()
    short: Mapping[str, str] = field(default_factory=dict)
    low: float | None = 0.0
    high: float | None = None
    above: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A mapping: known ``keys``, and ``each`` for every other key (None: no other key is allowed).

    ``each_key`` says what such a key must be: ``name``, ``format`` (number format), ``pattern`` (``dense``, ``2:4``, ...), ``bytes`` or
    ``function`` (of ``hwspecs.vocabulary.functions``).
    """

    description: str
    keys: Mapping[str, Attribute | Group] = field(default_factory=dict)
    each: Attribute | Group | None = None
    each_key: str = "name"
    required: bool = False
    nested: bool = False
    """Other keys may also be mappings of the same form, to any depth (free parameters)."""


def _positive(dimension: str, description: str, required: bool = False, high: float | None = None) -> Attribute:
    return Attribute(dimension, description, required=required, above=True, high=high)


def _amount(dimension: str, description: str) -> Attribute:
    return Attribute(dimension, description)


def _count(description: str, required: bool = False, low: int = 1, high: int | None = None) -> Attribute:
    return Attribute("count", description, required=required, low=low, high=high)


def _word(description: str, *choices: str, required: bool = False, short: Mapping[str, str] | None = None) -> Attribute:
    return Attribute(WORD, description, required=required, choices=choices, short=short or {})


FREE = Attribute("free", "any number, quantity with a unit, or word that the unit's mapper understands", low=None)
FREE_GROUP = Group("free parameters of the unit's mapper, at any depth", each=FREE, nested=True)
_FORMATS = Attribute("words", "number formats that derived rates are given for, such as [int8, bf16]")
_RATES = Group(
    "matrix rates of all copies together, by number format; a plain rate is the dense one",
    each=Group("rates by sparsity pattern", each=_positive("rate", "rate of this pattern, dense-equivalent"), each_key="pattern"),
    each_key="format",
)

UNIT_COMMON: Mapping[str, Attribute | Group] = {
    "kind": _word("names the mapper: gpu, systolic, vector, simd, crossbar, sparse_array, or a plug-in's kind", required=True),
    "count": _count("identical copies of the unit (SMs, cores, arrays); 1 if absent"),
    "clock": _positive("frequency", "clock that the rates are stated at; the device's clock if absent"),
    "rates": _RATES,
    "vector_rates": Group(
        "elementwise operations per second of all copies, by number format", each=_positive("rate", "rate"), each_key="format"
    ),
    "energy": Group(
        "dynamic energy by action: mac.<format>, vector.<format>, <store>.byte, ...",
        each=_amount("action_energy", "energy of one action"),
        nested=True,
    ),
    "fallback": _word("unit that takes what this one cannot run"),
    "formats": _FORMATS,
    "area": _amount("area", "area of all copies"),
}
_KERNELS = Group("constants of the kernel models, by class (gemm, attention_prefill, ...)", each=FREE, nested=True)
_SIDE = 65_536  # cells along one side: hundreds of times the largest array built, and sums of cycles stay far below 2^63
_DATAFLOWS = {"os": "output_stationary", "ws": "weight_stationary", "is": "input_stationary"}
_ARRAY: Mapping[str, Attribute | Group] = {
    "rows": _count("rows of the array", required=True, high=_SIDE),
    "columns": _count("columns of the array", required=True, high=_SIDE),
    "dataflow": _word(
        "what stays in the array: output_stationary (os), weight_stationary (ws), input_stationary (is); auto: the best one",
        "output_stationary", "weight_stationary", "input_stationary", "auto", required=True, short=_DATAFLOWS,
    ),
}  # fmt: skip
_CONVERTER: Mapping[str, Attribute | Group] = {
    "type": _word("circuit: sar, flash, ramp, nonlinear_ramp, bit_serial, pulse_width, multi_bit, ..."),
    "resolution": _count("bits", high=16),
    "rate": _positive("frequency", "conversions per second of one converter"),
    "latency": _amount("time", "time of one conversion"),
    "energy": _amount("energy", "energy of one conversion"),
    "area": _amount("area", "area of one converter"),
    "power": _amount("power", "power of one converter while it converts"),
    "sharing": _count("columns (or rows) served by one converter"),
    "functions": Attribute("words", "activations that a programmable ramp computes, such as [sigmoid, tanh]"),
}
_PART = Group(
    "a digital or analog part: how many per array and what one costs",
    {
        "count": _count("parts per array"),
        "energy": _amount("energy", "energy of one action"),
        "area": _amount("area", "area of one part"),
        "power": _amount("power", "power of one part"),
        "latency": _amount("time", "time of one action"),
        "size": _positive("bytes", "capacity of a buffer"),
        "bandwidth": _positive("bandwidth", "bandwidth of a buffer or wire"),
    },
)
_CROSSBAR: Mapping[str, Attribute | Group] = {
    "rows": _count("rows of one array", required=True),
    "columns": _count("columns of one array", required=True),
    "cell": _word("cell type: rram, pcm, sram, flash, mram, fefet", "rram", "pcm", "sram", "flash", "mram", "fefet", required=True),
    "bits_per_cell": _count("bits stored in one cell", required=True, high=8),
    "weight_bits": _count("bits of a weight, spread over cells"),
    "input_bits": _count("bits of an input"),
    "columns_scheme": _word("how signs are stored", "differential", "offset", "unsigned"),
    "cell_area": _amount("area", "area of one cell"),
    "conductance": Group(
        "conductance range of a cell",
        {
            "off": _amount("conductance", "of a cell that is off, the lowest"),
            "on": _positive("conductance", "of a cell that is on, the highest"),
        },
    ),
    "read_voltage": _positive("voltage", "voltage on a row during a read"),
    "read_pulse": _positive("time", "length of a read pulse"),
    "read_noise": _amount("ratio", "standard deviation of a read, as a share of the full range"),
    "write": Group(
        "programming a cell",
        {
            "energy": _amount("energy", "energy to program one cell"),
            "latency": _amount("time", "time to program one row"),
            "voltage": _positive("voltage", "write voltage"),
            "endurance": _positive("number", "writes before wear-out"),
        },
    ),
    "adc": Group("column converter", _CONVERTER, required=True),
    "dac": Group("row driver", _CONVERTER),
    "parts": Group("sample_hold, shift_add, multiplexer, input_register, output_register, buffer, bus, sigmoid, ...", each=_PART),
    "tiles": _count("tiles of the chip"),
    "arrays_per_tile": _count("arrays of one tile"),
    "reprogram": Attribute("flag", "weights that do not fit are written during the run (true) or refused (false)"),
    "reference": Group("published figures of the chip, to compare with", each=FREE, nested=True),
}
_SPARSE_ARRAY: Mapping[str, Attribute | Group] = {
    **_ARRAY,
    "mac_latency": _count("cycles from a MAC's inputs to its result"),
    "modes": Attribute("words", 'N:M patterns that the array runs natively, such as ["2:4", "2:8"]'),
    "interleave": Attribute("flag", "independent sums are interleaved to fill the pipeline of the MAC"),
    "reduction": Group(
        "top-N sorter that makes N:M weights on line",
        {"lanes": _count("groups handled at a time"), "cycles_per_value": _count("cycles per value")},
    ),
    "resources": Group(
        "FPGA resources that the design uses",
        {name: _amount("count", f"{name.upper()} used") for name in ("dsp", "lut", "ff", "bram", "uram")},
    ),
    "device": Group(
        "FPGA resources that the device has",
        {name: _amount("count", f"{name.upper()} on the device") for name in ("dsp", "lut", "ff", "bram", "uram")},
    ),
}
_SIMD: Mapping[str, Attribute | Group] = {
    "vector_bits": _count("width of a vector register", required=True, low=32, high=2048),
    "arithmetic_per_cycle": _positive("number", "full-width vector arithmetic instructions that a core starts per cycle", required=True),
    "arithmetic_latency": _count("cycles from a multiply-accumulate to the next into the same register; 4 if absent"),
    "issue": _positive("number", "instructions of all kinds that a core starts per cycle", required=True),
    "efficiency": _positive("ratio", "share of these rates that kernels reach; 1 if absent", high=1.0),
    "overlap": Attribute("number", "p of the norm over instructions, caches and memory: 1 adds them (the default)", low=1.0, high=64.0),
    "operator_overhead": _amount("time", "time before each operator"),
    "thread_overhead": _amount("time", "further time before each operator where several cores share it"),
    "loads": Group(
        "what one core gets from a cache, by the cache's name; its bandwidth if absent", each=_positive("bandwidth", "of one core")
    ),
    "functions": Group(
        "vector instructions that a function takes per vector; if absent those of its steps, or its operations by convention",
        each=_positive("number", "instructions"),
        each_key="function",
    ),
    "translation": Group(
        "first-level table of page translations of one core; no cost if absent",
        {
            "entries": _count("pages that it holds", required=True),
            "page": _positive("bytes", "size of a page", required=True),
            "miss": _amount("time", "time until the next level answers"),
        },
    ),
    "loop_order": _word("outer loop of matrix products: rows of results, columns, or the best for each", "rows", "columns", "best"),
    "tile": Group(
        "register tiles of the kernels",
        {
            "rows": _count("rows of a matrix product's tile; 6 if absent", high=64),
            "vectors": _count("vector registers of one row of it; 2 if absent", high=64),
            "pixels": _count("vector registers of pixels in a sparse product; 4 if absent", high=64),
        },
    ),
}
_REGISTER: Mapping[str, Attribute | Group] = {
    "size": _positive("bytes", "of one cell", required=True),
    "bandwidth": _positive("bandwidth", "from the scratchpad to all cells together (of partial sums: each way)", required=True),
}
_SYSTOLIC: Mapping[str, Attribute | Group] = {
    **_ARRAY,
    "dataflow": _word(
        "what stays in the array: output_stationary (os), weight_stationary (ws), input_stationary (is), row_stationary (rs); auto: "
        "the best one",
        *_DATAFLOWS.values(), "row_stationary", "auto", required=True, short={**_DATAFLOWS, "rs": "row_stationary"},
    ),
    "depthwise": _word(
        "grouped convolutions: one group per fold (if absent), several as one block-diagonal product, or depthwise ones on the vector unit",
        "per_channel", "diagonal", "vector",
    ),
    "registers": Group(
        "registers of the cells of a row-stationary array; dataflow auto tries that dataflow where they are stated",
        {
            "filter": Group("of filter rows", _REGISTER, required=True),
            "ifmap": Group("of input windows", _REGISTER, required=True),
            "psum": Group(
                "of partial sums",
                {**_REGISTER, "width": _positive("bytes", "of one partial sum; 4 B if absent")}, required=True,
            ),
        },
    ),
    "skipping": Group(
        "zeros of streaming operands that the array skips",
        {
            "operand": _word("whose zeros", "weights", "activations", "both", required=True),
            "lanes": _count("streams that wait for each other", required=True),
            "window": _count("positions after which they do; a whole run if absent"),
        },
    ),
    "kernels": _KERNELS,
}  # fmt: skip
UNIT_KINDS: Mapping[str, Mapping[str, Attribute | Group]] = {
    "gpu": {
        "kernels": _KERNELS,
        "shared_memory": _positive("bytes", "shared memory (scratchpad) of one SM or core"),
        "registers": _positive("bytes", "register file of one SM or core"),
    },
    "systolic": _SYSTOLIC,
    "vector": {
        "lanes": _count("results per cycle of one copy", required=True),
        "functions": Group(
            "cycles that one element of a function takes on one lane; if absent those of its steps, or its operations by convention",
            each=_positive("number", "cycles"),
            each_key="function",
        ),
        "row_overhead": _amount("number", "cycles besides for each row of a softmax or norm that lies along the lanes; 0 if absent"),
        "kernels": _KERNELS,
    },
    "simd": _SIMD,
    "crossbar": _CROSSBAR,
    "sparse_array": _SPARSE_ARRAY,
}
"""Further keys by kind. A kind that is not listed here may have any further keys (``FREE_GROUP``)."""

DRAM_TIMINGS: Mapping[str, str] = {
    "tcl": "read command to first data (read latency)",
    "tcwl": "write command to first data (write latency)",
    "trcd": "activate to column command",
    "trcdwr": "activate to write, where it differs; trcd if absent",
    "trp": "precharge to activate",
    "tras": "activate to precharge",
    "tccd_s": "column command to column command, another bank group",
    "tccd_l": "column command to column command, the same bank group",
    "trrd_s": "activate to activate, another bank group",
    "trrd_l": "activate to activate, the same bank group",
    "tfaw": "window in which a rank takes four activates",
    "trtp": "read to precharge",
    "twr": "last written data to precharge",
    "twtr_s": "last written data to read, another bank group",
    "twtr_l": "last written data to read, the same bank group",
    "trtw": "idle bus between a read and a write; 2 cycles if absent",
    "trtrs": "idle bus between two ranks; 2 cycles if absent",
    "trefi": "average time between refresh commands of a rank",
    "trfc": "refresh of all banks",
    "trfc_pb": "refresh of one bank",
}
DRAM_OPTIONAL = ("trcdwr", "trtw", "trtrs", "trfc_pb")
DRAM_FIELDS = ("row", "rank", "bank", "bank_group", "column", "channel")
"""Fields of an address, for ``controller.mapping``."""
_GEOMETRY = Group(
    "how a banked DRAM is built: of one part",
    {
        "channels": _count("independent channels (pseudo channels) of one part", required=True),
        "ranks": _count("ranks of one channel; 1 if absent", high=64),
        "bank_groups": _count("bank groups of one rank", required=True, high=64),
        "banks_per_group": _count("banks of one bank group", required=True, high=64),
        "row_bytes": _positive("bytes", "one row over the whole width of a channel", required=True),
        "bus_bits": _count("data lines of one channel", required=True, low=8, high=1024),
        "burst_length": _count("transfers of one column command", required=True, high=64),
        "bits_per_clock": _count("transfers per data line and command clock", required=True, high=16),
        "data_rate": _positive("bandwidth", "highest rate of one data line that the part is rated for, such as 6.4 Gb/s"),
    },
)
_TIMING = Group(
    "timing of a banked DRAM, in time or in cycles of its command clock",
    {key: _positive("time", text, required=key not in DRAM_OPTIONAL) for key, text in DRAM_TIMINGS.items()},
)
_CONTROLLER = Group(
    "how the memory controller drives a banked DRAM",
    {
        "mapping": _word("fields of an address from high to low; row:rank:bank:column:bank_group:channel if absent"),
        "interleave": _positive("bytes", "contiguous bytes on one channel; one burst if absent"),
        "window": _count("requests that a channel chooses from; 32 if absent", high=512),
        "refresh": _word("all_bank if absent", "all_bank", "per_bank", "none"),
    },
)
_COMMAND_ENERGY = Group(
    "energy of one command of a banked DRAM; with it the cycle rung counts commands instead of bytes",
    {
        "activate": Attribute("energy", "one activate with its precharge", required=True),
        "read": Attribute("energy", "one read burst, array and interface", required=True),
        "write": Attribute("energy", "one write burst, array and interface", required=True),
        "refresh": Attribute("energy", "one refresh of all banks of a rank", required=True),
    },
)
_PARTITION = Group(
    "one buffer of a split scratchpad",
    {
        "size": _positive("bytes", "capacity", required=True),
        "bank_bandwidth": _positive("bandwidth", "rate at which it is filled in SCALE-Sim's user mode; 10 B/cycle if absent"),
    },
)
MEMORY = Group(
    "a memory level",
    {
        "off_chip": Attribute("flag", "true for DRAM and beyond; false if absent"),
        "size": _positive("bytes", "capacity; for a split scratchpad it is the sum of its parts"),
        "bandwidth": _positive("bandwidth", "peak bandwidth", required=True),
        "achieved": _positive("ratio", "share of the peak that long streams reach; 1 if absent", high=1.0),
        "bandwidth_curve": Group(
            "share of the peak by access size, ascending; overrides achieved", each=_positive("ratio", "share", high=1.0), each_key="bytes"
        ),
        "latency": _amount("time", "time from request to first byte"),
        "read_energy": _amount("energy_per_byte", "dynamic energy of reading"),
        "write_energy": _amount("energy_per_byte", "dynamic energy of writing; that of reading if absent"),
        "banks": _count("banks; 1 if absent"),
        "double_buffered": Attribute("flag", "half of each buffer is filled while the other half is read; true if absent"),
        "ifmap": _PARTITION,
        "filter": _PARTITION,
        "ofmap": _PARTITION,
        "part": _word("DRAM part of the library (hbm3, lpddr5-6400, ...) that geometry, timing, controller and command_energy come from"),
        "part_count": _count("parts side by side (stacks, channels of a board); 1 if absent"),
        "geometry": _GEOMETRY,
        "timing": _TIMING,
        "controller": _CONTROLLER,
        "command_energy": _COMMAND_ENERGY,
    },
)
DRAM_GROUPS = ("geometry", "timing", "controller", "command_energy")
"""Parts of a memory that only the cycle rung reads, besides ``part`` and ``part_count``."""
LINK = Group(
    "a link to other devices; the one named noc joins the cores of this device",
    {
        "bandwidth": _positive("bandwidth", "bandwidth of one direction; of a noc all that it carries at once", required=True),
        "latency": _amount("time", "latency of a message"),
        "energy": _amount("energy_per_byte", "energy of moving data"),
        "topology": _word("how devices are joined: all_to_all, ring, mesh, switch, bus"),
        "multicast": Attribute("flag", "one transfer reaches several cores; false if absent"),
    },
)
TOP = Group(
    "a hardware spec",
    {
        "default_format": _word("number format that models run in where the user names none", required=True),
        "clock": _positive("frequency", "base clock: cycles of schedules and results count it", required=True),
        "cores": _count("identical cores, each with all units and on-chip memories of its own; 1 if absent", high=256),
        "unit": Group("compute units; operators go to the first one", each=Group("a compute unit"), required=True),
        "memory": Group("memories, the off-chip one first, then towards the units", each=MEMORY, required=True),
        "link": Group("links", each=LINK),
        "special": Group("special units (top-k, converters), free parameters", each=FREE_GROUP),
        "fixed": Group(
            "fixed costs",
            {"kernel_launch": _amount("time", "of one kernel or operator"), "layer_host": _amount("time", "host time per layer")},
        ),
        "power": Group(
            "power", {"static": _amount("power", "flows whether or not anything runs"), "max": _positive("power", "board limit")}
        ),
        "area": _amount("area", "area of the whole device"),
    },
)
HEADER = ("schema", "name", "extends", "description", "family")
"""Top-level keys that are not leaves."""
LEAF_KEYS = ("value", "source", "cite", "low", "high", "note")


def unit_group(kind: str) -> Group:
    """The keys of a unit of ``kind``; a kind that is not in ``UNIT_KINDS`` takes free parameters besides the common ones."""
    if kind in UNIT_KINDS:
        return Group(f"a {kind} unit", {**UNIT_COMMON, **UNIT_KINDS[kind]})
    return Group("a unit of a plug-in's kind", UNIT_COMMON, each=FREE, nested=True)
