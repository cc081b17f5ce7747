"""What a spec may say, as data: every key with its dimension, range and meaning.

These tables drive reading, checking, overriding, the JSON Schema for editors and the reference in ``docs/specs.md``.
"""

from __future__ import annotations

from collections.abc import Mapping

from hwspecs.attributes import Attribute, Group, amount, count, positive, word
from hwspecs.unit_kinds import FREE_GROUP

SCHEMA_VERSION = 1

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
        "channels": count("independent channels (pseudo channels) of one part", required=True),
        "ranks": count("ranks of one channel; 1 if absent", high=64),
        "bank_groups": count("bank groups of one rank", required=True, high=64),
        "banks_per_group": count("banks of one bank group", required=True, high=64),
        "row_bytes": positive("bytes", "one row over the whole width of a channel", required=True),
        "bus_bits": count("data lines of one channel", required=True, low=8, high=1024),
        "burst_length": count("transfers of one column command", required=True, high=64),
        "bits_per_clock": count("transfers per data line and command clock", required=True, high=16),
        "data_rate": positive("bandwidth", "highest rate of one data line that the part is rated for, such as 6.4 Gb/s"),
    },
)
_TIMING = Group(
    "timing of a banked DRAM, in time or in cycles of its command clock",
    {key: positive("time", text, required=key not in DRAM_OPTIONAL) for key, text in DRAM_TIMINGS.items()},
)
_CONTROLLER = Group(
    "how the memory controller drives a banked DRAM",
    {
        "mapping": word("fields of an address from high to low; row:rank:bank:column:bank_group:channel if absent"),
        "interleave": positive("bytes", "contiguous bytes on one channel; one burst if absent"),
        "window": count("requests that a channel chooses from; 32 if absent", high=512),
        "refresh": word("all_bank if absent", "all_bank", "per_bank", "none"),
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
        "size": positive("bytes", "capacity", required=True),
        "bank_bandwidth": positive("bandwidth", "rate at which it is filled in SCALE-Sim's user mode; 10 B/cycle if absent"),
    },
)
MEMORY = Group(
    "a memory level",
    {
        "off_chip": Attribute("flag", "true for DRAM and beyond; false if absent"),
        "size": positive("bytes", "capacity; for a split scratchpad it is the sum of its parts"),
        "bandwidth": positive("bandwidth", "peak bandwidth", required=True),
        "achieved": positive("ratio", "share of the peak that long streams reach; 1 if absent", high=1.0),
        "bandwidth_curve": Group(
            "share of the peak by access size, ascending; overrides achieved", each=positive("ratio", "share", high=1.0), each_key="bytes"
        ),
        "latency": amount("time", "time from request to first byte"),
        "read_energy": amount("energy_per_byte", "dynamic energy of reading"),
        "write_energy": amount("energy_per_byte", "dynamic energy of writing; that of reading if absent"),
        "banks": count("banks; 1 if absent"),
        "double_buffered": Attribute("flag", "half of each buffer is filled while the other half is read; true if absent"),
        "ifmap": _PARTITION,
        "filter": _PARTITION,
        "ofmap": _PARTITION,
        "part": word("DRAM part of the library (hbm3, lpddr5-6400, ...) that geometry, timing, controller and command_energy come from"),
        "part_count": count("parts side by side (stacks, channels of a board); 1 if absent"),
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
        "bandwidth": positive("bandwidth", "bandwidth of one direction; of a noc all that it carries at once", required=True),
        "latency": amount("time", "latency of a message"),
        "energy": amount("energy_per_byte", "energy of moving data"),
        "topology": word("how devices are joined: all_to_all, ring, mesh, switch, bus"),
        "multicast": Attribute("flag", "one transfer reaches several cores; false if absent"),
    },
)
TOP = Group(
    "a hardware spec",
    {
        "default_format": word("number format that models run in where the user names none", required=True),
        "clock": positive("frequency", "base clock: cycles of schedules and results count it", required=True),
        "cores": count("identical cores, each with all units and on-chip memories of its own; 1 if absent", high=256),
        "unit": Group("compute units; operators go to the first one", each=Group("a compute unit"), required=True),
        "memory": Group("memories, the off-chip one first, then towards the units", each=MEMORY, required=True),
        "link": Group("links", each=LINK),
        "special": Group("special units (top-k, converters), free parameters", each=FREE_GROUP),
        "fixed": Group(
            "fixed costs",
            {"kernel_launch": amount("time", "of one kernel or operator"), "layer_host": amount("time", "host time per layer")},
        ),
        "power": Group("power", {"static": amount("power", "flows whether or not anything runs"), "max": positive("power", "board limit")}),
        "area": amount("area", "area of the whole device"),
    },
)
HEADER = ("schema", "name", "extends", "description", "family")
"""Top-level keys that are not leaves."""
LEAF_KEYS = ("value", "source", "cite", "low", "high", "note")
