"""Hardware and mapped graphs built by hand, with numbers that are easy to reckon with."""

from __future__ import annotations

import random
from collections.abc import Mapping

from hwspecs.hardware import ComputeUnit, Hardware, Memory
from hwspecs.vocabulary.formats import number_format
from mappings.dataflow import Alternative, Edge, MappedBlock, MappedGraph, MappedOperator, Segment, Stage, Transfer
from workloads.graph import Operator, OperatorGraph, Repeat, Role, Tensor

INT8 = number_format("int8")


def hardware(
    *, bandwidth: float = 100e9, achieved: float = 1.0, on_chip: int = 1_000_000, dram: int = 10**12, clock: float = 1e9,
    power: float = 2.0, limit: float | None = None, family: str = "npu", partitions: Mapping[str, int] | None = None,
    curve: tuple[tuple[float, float], ...] = (), energy: Mapping[str, float] | None = None,
) -> Hardware:  # fmt: skip
    """1 GHz; an array of 1000 MACs and a vector unit of 100 operations per cycle; DRAM of 100 bytes per cycle; a scratchpad of 1 MB."""
    prices = {"mac.int8": 1e-12, "vector.int8": 2e-12} if energy is None else energy
    array = ComputeUnit("array", "systolic", 1, clock, {("int8", "dense"): 2e12, ("int8", "2:4"): 4e12}, {"int8": 1e11}, prices)
    memories = {
        "dram": Memory("dram", True, dram, bandwidth, achieved, curve, read_energy_j_per_byte=10e-12, write_energy_j_per_byte=20e-12),
        "spad": Memory(
            "spad", False, on_chip, 1e12, read_energy_j_per_byte=1e-12, write_energy_j_per_byte=2e-12, partitions=partitions or {}
        ),
    }
    return Hardware(
        "hand", "built by hand", family, clock, "int8", {"array": array}, memories, {}, {}, 0.0, 0.0, power, limit, None, {}, "0" * 64
    )  # fmt: skip


def tensor(name: str, size: int, role: Role = Role.ACTIVATION, alias_of: str | None = None, region: int = 0) -> Tensor:
    """A tensor of ``size`` bytes."""
    return Tensor(name, (size,), INT8, role, alias_of=alias_of, region_bytes=region)


def split(total: int, parts: int) -> list[tuple[int, int]]:
    """(repeat, size) of ``parts`` sizes that add up to ``total``."""
    size, more = divmod(total, parts)
    return [(repeat, amount) for repeat, amount in ((more, size + 1), (parts - more, size)) if repeat]


def pieces(sizes: Mapping[str, int], tiles: int, *, load: bool) -> tuple[Segment, ...]:
    """Port segments that move every tensor of ``sizes`` in ``tiles`` firings each; tensor after tensor."""
    places = ("dram", "spad") if load else ("spad", "dram")
    parts = [(name, repeat, size) for name, total in sizes.items() for repeat, size in split(total, tiles)]
    return tuple(Segment(repeat, 0, (Transfer(name, size, *places),)) for name, repeat, size in parts)


def mapped_operator(
    name: str, reads: Mapping[str, int], writes: Mapping[str, int], *, macs: int = 0, vector_ops: int = 0, tiles: int = 4,
    working_set: int = 0, kind: str = "gemm", slow: int = 0,
) -> MappedOperator:  # fmt: skip
    """load -> compute -> store through buffers of two tiles, at the array's full rate; ``slow`` adds a second alternative."""

    def alternative(title: str, waste: int, room: int) -> Alternative:
        cycles = -(-macs // 1000) + -(-vector_ops // 100) + waste
        stages = [Stage("compute", "array", tuple(Segment(repeat, amount) for repeat, amount in split(cycles, tiles)))]
        edges = []
        if reads:
            stages.insert(0, Stage("load", "port:dram", pieces(reads, tiles, load=True)))
            edges.append(Edge("load", "compute", 1, len(reads), 0, 2 * len(reads)))
        if writes:
            stages.append(Stage("store", "port:dram", pieces(writes, tiles, load=False)))
            edges.append(Edge("compute", "store", len(writes), 1, 0, 2 * len(writes)))
        actions = {"array.mac.int8": float(macs), "array.vector.int8": float(vector_ops), "spad.write.byte": float(sum(reads.values()))}
        traffic = -(-(sum(reads.values()) + sum(writes.values())) // 100)
        return Alternative(title, tuple(stages), tuple(edges), room, max(cycles, traffic), actions, {"compute": cycles})

    ways = [alternative("fast", 0, working_set)]
    if slow:
        ways.append(alternative("slow", slow, working_set // 2))
    return MappedOperator(
        name, kind, "array", tuple(ways), macs=macs, executed_macs=macs, vector_ops=vector_ops, compute_format="int8",
        reads=reads, writes=writes,
    )  # fmt: skip


def straight(tensors: list[Tensor], operators: list[MappedOperator], outputs: list[str], device: Hardware | None = None) -> MappedGraph:
    """One block that runs once; tensors that nobody writes enter."""
    by_name = {item.name: item for item in tensors}
    written = {name for item in operators for name in item.writes}
    nodes = tuple(Operator(item.operator, item.kind, tuple(item.reads), tuple(item.writes)) for item in operators)
    inputs = tuple(name for name in by_name if name not in written and by_name[name].role is Role.ACTIVATION)
    graph = OperatorGraph("hand-built", by_name, nodes, inputs, tuple(outputs), meta={"phase": "test", "batch": 1})
    block = MappedBlock(
        "part 0", tuple(operators), 1, by_name, entering={name: name for name in by_name if name not in written},
        leaving={name: name for name in outputs},
    )  # fmt: skip
    return MappedGraph(graph, device or hardware(), (block,))


def layered(
    body: list[Tensor], operators: list[MappedOperator], count: int, size: int, device: Hardware | None = None, tail: int = 0
) -> MappedGraph:
    """A repeat of ``count`` rounds that carries ``x`` to ``y`` (of ``size`` bytes each), from graph input ``in`` to graph output ``out``.

    With ``tail``, one operator after the repeat reads ``out`` and writes ``end`` of ``tail`` bytes, which is the output.
    """
    by_name = {item.name: item for item in (tensor("x", size), tensor("y", size), *body)}
    nodes = tuple(Operator(item.operator, item.kind, tuple(item.reads), tuple(item.writes)) for item in operators)
    inner = OperatorGraph("layer", by_name, nodes, ("x",), ("y",))
    repeat = Repeat("layers", inner, count, (("y", "x"),), (), {"x": "in"}, {"y": "out"})
    outer = {"in": tensor("in", size), "out": tensor("out", size)}
    blocks = [
        MappedBlock("layers", tuple(operators), count, by_name, carried=(("y", "x"),), entering={"x": "in"}, leaving={"y": "out"}),
    ]  # fmt: skip
    graph_nodes: list[Operator | Repeat] = [repeat]
    if tail:
        outer["end"] = tensor("end", tail)
        last = mapped_operator("tail", {"out": size}, {"end": tail}, vector_ops=size, kind="norm")
        graph_nodes.append(Operator("tail", "norm", ("out",), ("end",)))
        own = {name: outer[name] for name in ("out", "end")}
        blocks.append(MappedBlock("part 1", (last,), 1, own, entering={"out": "out"}, leaving={"end": "end"}))
    outputs = ("end" if tail else "out",)
    graph = OperatorGraph("layered", outer, tuple(graph_nodes), ("in",), outputs, meta={"phase": "test", "layers": count})
    return MappedGraph(graph, device or hardware(), tuple(blocks))


def random_graph(rng: random.Random, device: Hardware | None = None) -> MappedGraph:
    """A random operator DAG with weights, caches and skip connections, straight or as a repeat."""
    size = rng.randint(1, 60_000)
    tensors = []
    operators = []
    alive = {"x": size}
    folded = rng.random() < 0.6
    steps = rng.randint(1, 7)
    for step in range(steps):
        last = step == steps - 1
        out = "y" if last else f"t{step}"
        nbytes = size if last else rng.randint(1, 80_000)
        names = [rng.choice(list(alive)), *(name for name in alive if rng.random() < 0.2)]
        if step == 0:
            names = ["x", *names]
        reads = {name: alive[name] for name in dict.fromkeys(names)}
        writes = {out: nbytes}
        if rng.random() < 0.6:
            weight = rng.randint(1, 200_000)
            tensors.append(tensor(f"w{step}", weight, Role.WEIGHT))
            reads[f"w{step}"] = weight
        if rng.random() < 0.3:
            cache, region = rng.randint(2_000, 50_000), rng.randint(1, 2_000)
            tensors.append(tensor(f"c{step}", cache, Role.KV_CACHE))
            tensors.append(tensor(f"d{step}", cache, Role.KV_CACHE, alias_of=f"c{step}", region=region))
            writes[f"d{step}"] = region
            operators.append(mapped_operator(f"append{step}", {rng.choice(list(alive)): 1}, {f"d{step}": region}, tiles=1))
            writes.pop(f"d{step}")
            reads[f"d{step}"] = cache
        if not last:
            tensors.append(tensor(out, nbytes))
        alive[out] = nbytes
        operators.append(
            mapped_operator(
                f"op{step}", reads, writes, macs=rng.choice((0, 10**3, 10**6, 10**8)), vector_ops=rng.choice((0, 10**3, 10**6)),
                tiles=rng.randint(1, 6), working_set=rng.randint(0, 30_000), slow=rng.choice((0, 100)),
            )
        )  # fmt: skip
    device = device or hardware(on_chip=rng.choice((40_000, 150_000, 1_000_000)), achieved=rng.choice((1.0, 0.7)))
    if folded:
        return layered(tensors, operators, rng.randint(1, 5), size, device, tail=rng.choice((0, 500)))
    return straight([tensor("x", size), tensor("y", size), *tensors], operators, ["y"], device)
