"""What a compute unit may say in a spec, by its kind; see ``hwspecs.schema``."""

from __future__ import annotations

from collections.abc import Mapping

from hwspecs.attributes import Attribute, Group, amount, count, positive, word

FREE = Attribute("free", "any number, quantity with a unit, or word that the unit's mapper understands", low=None)
FREE_GROUP = Group("free parameters of the unit's mapper, at any depth", each=FREE, nested=True)
_FORMATS = Attribute("words", "number formats that derived rates are given for, such as [int8, bf16]")
_RATES = Group(
    "matrix rates of all copies together, by number format; a plain rate is the dense one",
    each=Group("rates by sparsity pattern", each=positive("rate", "rate of this pattern, dense-equivalent"), each_key="pattern"),
    each_key="format",
)

UNIT_COMMON: Mapping[str, Attribute | Group] = {
    "kind": word("names the mapper: gpu, systolic, vector, simd, crossbar, sparse_array, or a plug-in's kind", required=True),
    "count": count("identical copies of the unit (SMs, cores, arrays); 1 if absent"),
    "clock": positive("frequency", "clock that the rates are stated at; the device's clock if absent"),
    "rates": _RATES,
    "vector_rates": Group(
        "elementwise operations per second of all copies, by number format", each=positive("rate", "rate"), each_key="format"
    ),
    "energy": Group(
        "dynamic energy by action: mac.<format>, vector.<format>, <store>.byte, ...",
        each=amount("action_energy", "energy of one action"),
        nested=True,
    ),
    "fallback": word("unit that takes what this one cannot run"),
    "formats": _FORMATS,
    "area": amount("area", "area of all copies"),
}
_KERNELS = Group("constants of the kernel models, by class (gemm, attention_prefill, ...)", each=FREE, nested=True)
_SIDE = 65_536  # cells along one side: hundreds of times the largest array built, and sums of cycles stay far below 2^63
_DATAFLOWS = {"os": "output_stationary", "ws": "weight_stationary", "is": "input_stationary"}
_ARRAY: Mapping[str, Attribute | Group] = {
    "rows": count("rows of the array", required=True, high=_SIDE),
    "columns": count("columns of the array", required=True, high=_SIDE),
    "dataflow": word(
        "what stays in the array: output_stationary (os), weight_stationary (ws), input_stationary (is); auto: the best one",
        "output_stationary", "weight_stationary", "input_stationary", "auto", required=True, short=_DATAFLOWS,
    ),
}  # fmt: skip
_MODEL = word("component model that gives energy and area where they are not stated")
_MODEL_PARAMETERS = Group("parameters of the component model that are no keys of the part itself", each=FREE)
_CONVERTER: Mapping[str, Attribute | Group] = {
    "type": word("circuit: sar, flash, ramp, nonlinear_ramp, bit_serial, pulse_width, multi_bit, ..."),
    "resolution": count("bits", high=16),
    "rate": positive("frequency", "conversions per second of one converter"),
    "latency": amount("time", "time of one conversion"),
    "energy": amount("energy", "energy of one conversion"),
    "area": amount("area", "area of one converter"),
    "power": amount("power", "power of one converter while it converts"),
    "sharing": count("columns (or rows) served by one converter"),
    "functions": Attribute("words", "activations that a programmable ramp computes, such as [sigmoid, tanh]"),
    "saved_bits": count("bits of a column's sum that an encoding of weights or inputs saves the converter; 0 if absent", low=0, high=16),
    "model": _MODEL,
    "parameters": _MODEL_PARAMETERS,
}
_PART = Group(
    "a digital or analog part: how many per array and what one costs",
    {
        "count": count("parts per array"),
        "per": word(
            "what one action is: of each driven row, used column, driven cell, conversion or phase, or of a product as a whole, "
            "its input byte or output byte; if absent by the part's name (docs/crossbars.md)",
            "row",
            "column",
            "cell",
            "conversion",
            "phase",
            "product",
            "input",
            "output",
        ),
        "model": _MODEL,
        "parameters": _MODEL_PARAMETERS,
        "energy": amount("energy", "energy of one action"),
        "area": amount("area", "area of one part"),
        "power": amount("power", "power of one part"),
        "latency": amount("time", "time of one action"),
        "size": positive("bytes", "capacity of a buffer"),
        "bandwidth": positive("bandwidth", "bandwidth of a buffer or wire"),
    },
)
_CROSSBAR: Mapping[str, Attribute | Group] = {
    "rows": count("rows of one array", required=True),
    "columns": count("columns of one array", required=True),
    "cell": word("cell type: rram, pcm, sram, flash, mram, fefet", "rram", "pcm", "sram", "flash", "mram", "fefet", required=True),
    "bits_per_cell": count("bits stored in one cell", required=True, high=8),
    "weight_bits": count("bits of a weight, spread over cells"),
    "input_bits": count("bits of an input"),
    "columns_scheme": word(
        "how signs are stored: differential takes two columns per weight; signed: a stated cell is already a pair",
        "differential", "offset", "unsigned", "signed",
    ),
    "rows_per_read": count("rows driven at once; all if absent"),
    "mean_level": Attribute("ratio", "mean conductance of the cells, as a share of the way from off to on; 0.5 if absent", high=1.0),
    "mean_input": Attribute("ratio", "mean input, as a share of the full scale (of pulses: of ones among bits); 0.5 if absent", high=1.0),
    "pipelined": Attribute("flag", "a phase is read while the last one is converted; if absent, where there is a sample_hold part"),
    "node_nm": positive("number", "technology node in nm, for component models"),
    "supply": positive("voltage", "supply voltage of the parts, for component models; the node's nominal one if absent"),
    "cell_area": amount("area", "area of one cell"),
    "conductance": Group(
        "conductance range of a cell",
        {
            "off": amount("conductance", "of a cell that is off, the lowest"),
            "on": positive("conductance", "of a cell that is on, the highest"),
        },
    ),
    "read_voltage": positive("voltage", "voltage on a row during a read"),
    "read_pulse": positive("time", "length of a read pulse"),
    "read_noise": amount("ratio", "standard deviation of a read, as a share of the full range"),
    "write": Group(
        "programming a cell",
        {
            "energy": amount("energy", "energy to program one cell"),
            "latency": amount("time", "time to program one row"),
            "voltage": positive("voltage", "write voltage"),
            "endurance": positive("number", "writes before wear-out"),
        },
    ),
    "adc": Group("column converter; without one sums are digital and exact", _CONVERTER),
    "dac": Group("row driver", _CONVERTER),
    "parts": Group("sample_hold, shift_add, multiplexer, input_register, output_register, buffer, bus, sigmoid, ...", each=_PART),
    "tiles": count("tiles of the chip"),
    "arrays_per_tile": count("arrays of one tile"),
    "reprogram": Attribute("flag", "weights that do not fit are written during the run (true) or refused (false)"),
    "chips": count("chips that weights may be spread over; 1 if absent"),
    "chip_link": word("link that joins the chips; the first link of the spec if absent"),
    "replicate": word("layers get copies in arrays that are left over, slowest first (balance, if absent), or not", "balance", "none"),
    "dynamic": word(
        "products of two computed operands: on the fallback unit (digital, if absent) or written to arrays", "digital", "write",
    ),
    "depthwise": word(
        "grouped convolutions: several in one array as a block diagonal (if absent), or an array for each", "diagonal", "per_channel",
    ),
    "skip_empty": Attribute("flag", "input vectors without an event take no time"),
    "reference": Group("published figures of the chip, to compare with", each=FREE, nested=True),
}  # fmt: skip
_SPARSE_ARRAY: Mapping[str, Attribute | Group] = {
    **_ARRAY,
    "mac_latency": count("cycles from a MAC's inputs to its result"),
    "modes": Attribute("words", 'N:M patterns that the array runs natively, such as ["2:4", "2:8"]'),
    "interleave": Attribute("flag", "independent sums are interleaved to fill the pipeline of the MAC"),
    "sparse_mode": word(
        "N:M modes where they are faster (auto, if absent), wherever an operand allows it, or never", "auto", "always", "never"
    ),
    "reduction": Group(
        "top-N sorter that makes N:M weights on line",
        {"lanes": count("groups handled at a time"), "cycles_per_value": count("cycles per value")},
    ),
    "resources": Group(
        "FPGA resources that the design uses",
        {name: amount("count", f"{name.upper()} used") for name in ("dsp", "lut", "ff", "bram", "uram")},
    ),
    "cost": Group(
        "FPGA resources of the design's parts, for a model of all that it uses",
        {
            name: Group(text, {part: amount("count", f"{part.upper()} of one") for part in ("dsp", "lut", "ff", "bram", "uram")})
            for name, text in {
                "pe": "one PE: multiplier, adder, control",
                "lane": "one lane of the reduction engine",
                "vector_lane": "one lane of the vector unit",
                "base": "the rest of the design: memory controllers, host link, control",
            }.items()
        },
    ),
    "device": Group(
        "FPGA resources that the device has",
        {name: amount("count", f"{name.upper()} on the device") for name in ("dsp", "lut", "ff", "bram", "uram")},
    ),
}
_SIMD: Mapping[str, Attribute | Group] = {
    "vector_bits": count("width of a vector register", required=True, low=32, high=2048),
    "arithmetic_per_cycle": positive("number", "full-width vector arithmetic instructions that a core starts per cycle", required=True),
    "arithmetic_latency": count("cycles from a multiply-accumulate to the next into the same register; 4 if absent"),
    "issue": positive("number", "instructions of all kinds that a core starts per cycle", required=True),
    "efficiency": positive("ratio", "share of these rates that kernels reach; 1 if absent", high=1.0),
    "overlap": Attribute("number", "p of the norm over instructions, caches and memory: 1 adds them (the default)", low=1.0, high=64.0),
    "operator_overhead": amount("time", "time before each operator"),
    "thread_overhead": amount("time", "further time before each operator where several cores share it"),
    "loads": Group(
        "what one core gets from a cache, by the cache's name; its bandwidth if absent", each=positive("bandwidth", "of one core")
    ),
    "functions": Group(
        "vector instructions that a function takes per vector; if absent those of its steps, or its operations by convention",
        each=positive("number", "instructions"),
        each_key="function",
    ),
    "translation": Group(
        "first-level table of page translations of one core; no cost if absent",
        {
            "entries": count("pages that it holds", required=True),
            "page": positive("bytes", "size of a page", required=True),
            "miss": amount("time", "time until the next level answers"),
        },
    ),
    "loop_order": word("outer loop of matrix products: rows of results, columns, or the best for each", "rows", "columns", "best"),
    "tile": Group(
        "register tiles of the kernels",
        {
            "rows": count("rows of a matrix product's tile; 6 if absent", high=64),
            "vectors": count("vector registers of one row of it; 2 if absent", high=64),
            "pixels": count("vector registers of pixels in a sparse product; 4 if absent", high=64),
        },
    ),
}
_REGISTER: Mapping[str, Attribute | Group] = {
    "size": positive("bytes", "of one cell", required=True),
    "bandwidth": positive("bandwidth", "from the scratchpad to all cells together (of partial sums: each way)", required=True),
}
_SYSTOLIC: Mapping[str, Attribute | Group] = {
    **_ARRAY,
    "dataflow": word(
        "what stays in the array: output_stationary (os), weight_stationary (ws), input_stationary (is), row_stationary (rs); auto: "
        "the best one",
        *_DATAFLOWS.values(), "row_stationary", "auto", required=True, short={**_DATAFLOWS, "rs": "row_stationary"},
    ),
    "depthwise": word(
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
                {**_REGISTER, "width": positive("bytes", "of one partial sum; 4 B if absent")}, required=True,
            ),
        },
    ),
    "skipping": Group(
        "zeros of streaming operands that the array skips",
        {
            "operand": word("whose zeros", "weights", "activations", "both", required=True),
            "lanes": count("streams that wait for each other", required=True),
            "window": count("positions after which they do; a whole run if absent"),
        },
    ),
    "kernels": _KERNELS,
}  # fmt: skip
UNIT_KINDS: Mapping[str, Mapping[str, Attribute | Group]] = {
    "gpu": {
        "kernels": _KERNELS,
        "shared_memory": positive("bytes", "shared memory (scratchpad) of one SM or core"),
        "registers": positive("bytes", "register file of one SM or core"),
    },
    "systolic": _SYSTOLIC,
    "vector": {
        "lanes": count("results per cycle of one copy", required=True),
        "functions": Group(
            "cycles that one element of a function takes on one lane; if absent those of its steps, or its operations by convention",
            each=positive("number", "cycles"),
            each_key="function",
        ),
        "row_overhead": amount("number", "cycles besides for each row of a softmax or norm that lies along the lanes; 0 if absent"),
        "kernels": _KERNELS,
    },
    "simd": _SIMD,
    "crossbar": _CROSSBAR,
    "sparse_array": _SPARSE_ARRAY,
}
"""Further keys by kind. A kind that is not listed here may have any further keys (``FREE_GROUP``)."""


def unit_group(kind: str) -> Group:
    """The keys of a unit of ``kind``; a kind that is not in ``UNIT_KINDS`` takes free parameters besides the common ones."""
    if kind in UNIT_KINDS:
        return Group(f"a {kind} unit", {**UNIT_COMMON, **UNIT_KINDS[kind]})
    return Group("a unit of a plug-in's kind", UNIT_COMMON, each=FREE, nested=True)
