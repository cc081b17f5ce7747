"""``load_model``: a graph from a name of the zoo, an operator's text or a file (ONNX, ``config.json``, SCALE-Sim topology, reservoirs)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hwspecs.vocabulary.errors import ArgumentError, ModelError, UnknownNameError
from hwspecs.vocabulary.formats import format_names
from hwspecs.vocabulary.suggest import did_you_mean
from workloads.graph import OperatorGraph, Role
from workloads.single import SYNTAX, single_operator

if TYPE_CHECKING:
    from workloads.passes.reuse import Delta, Schedule
    from workloads.transformer_config import TransformerConfig

PHASES = ("prefill", "decode", "encode", "inference", "train")
_LARGEST_BATCH = 1 << 31
_MOST_TOKENS = 1 << 20


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model that ``load_model`` knows by name.

    Attributes:
        kind: ``cnn``, ``spiking``, ``sequence``, ``llm``, ``encoder`` or ``operator`` (then ``name`` is how its text begins).
        phases: phases it can run in, ``train`` among them where a training step is known; the first is the default.
        description: one line.
    """

    name: str
    kind: str
    phases: tuple[str, ...]
    description: str


def trainable(name: str) -> bool:
    """Whether ``load_model(name, phase="train")`` gives a training step of a network of the zoo or a single operator: all but those that
    are training steps already, spiking networks (a spike has no gradient), and attention, which has no weights."""
    from workloads.zoo import lsm, training

    return name not in training.NETWORKS and name not in lsm.NETWORKS and name.partition(":")[0] != "attention"


def list_models() -> tuple[ModelInfo, ...]:
    """The zoo and the single operators."""
    from workloads.zoo import lsm
    from workloads.zoo.cnn import NETWORKS, SEQUENCES
    from workloads.zoo.llm import CONFIGS

    spiking = dict.fromkeys(lsm.NETWORKS, "spiking")
    models = [ModelInfo(name, spiking.get(name, "cnn"), ("inference",), description) for name, (_, description) in NETWORKS.items()]
    models.extend(ModelInfo(name, "sequence", ("inference",), description) for name, (_, description) in SEQUENCES.items())
    for config in CONFIGS.values():
        phases = ("encode",) if config.encoder else ("prefill", "decode")
        models.append(ModelInfo(config.name, "encoder" if config.encoder else "llm", phases, config.citation))
    models.extend(ModelInfo(kind, "operator", ("inference",), syntax) for kind, syntax in SYNTAX.items())
    return tuple([replace(model, phases=(*model.phases, "train")) if trainable(model.name) else model for model in models])


def load_model(
    name_or_path: str, *, phase: str | None = None, batch: int = 1, context: int | None = None, tokens: int | None = None,
    format: str | None = None, sparsity: str | None = None, dims: Mapping[str, int] | None = None, unknown_op: str = "refuse",
    fuse: bool = True, default_format: str | None = None, stream: str | None = None, delta: Delta | None = None,
    keep_tokens: Schedule | None = None, training: Mapping[str, object] | None = None,
) -> OperatorGraph:  # fmt: skip
    """The operator graph of a model in one phase, lowered and ready to map.

    Args:
        name_or_path: a name of ``list_models``, ``gemm:MxNxK``, ``conv:...``, ``attention:...`` (see ``single.single_operator``),
            the path of an ``.onnx`` file, of a ``config.json`` or of a folder that holds one, of a SCALE-Sim topology (``.csv``), of a
            liquid state machine (``.yaml``, see ``workloads.reservoir_file``).
        phase: of a decoder ``prefill`` (default) or ``decode``, of an encoder ``encode``, of all others ``inference``; of any ``train``,
            one training step.
        batch: inputs or sequences at a time; of an ONNX file it pins the first axis of the inputs where that is open.
        tokens: prompt length (prefill, encode) or new positions (decode, default 1).
        context: positions attended, the new ones included.
        format: ``bf16``, ``int8``, ``w4a16``, ``w4g128a16``, ``w8a8``, ``w4a16kv8``, ... (``passes.parse_policy``); None: as in the model.
        sparsity: ``2:4``, ``unstructured:0.3``, ``block:4x1:0.3``: pattern of the linear layers' weights, or rules by layer
            (``passes.sparsify.parse_rules``); None or ``dense``: none. Of a training step ``bdwp-2:8`` (``passes.nm_training``).
        dims: sizes of open axes of an ONNX file by their symbol (``{"batch": 8}``).
        unknown_op: ``refuse`` or ``bytes-only``: what to do with operators of an ONNX file that are not known.
        fuse: join pointwise operators and attention into their producers.
        default_format: format where ``format`` is None and the model does not state a quantization of its own.
        stream: ``hop=4``, ``window=16,hop=4,axis=2``: one step on overlapping windows (``passes.stream``).
        delta: density of the changes from frame to frame: a number, a mapping of layers, the path of a YAML file (``passes.delta``).
        keep_tokens: ``0.5``, ``4=0.7,7=0.49``, ``merge:16``, ``evit:0.7``: tokens that go on, by layer (``passes.keep_tokens``).
        training: options of the phase ``train`` (``training_step.OPTIONS``): ``{"optimizer": "adam", "recompute": "blocks"}``.

    Raises:
        ArgumentError: an argument is out of range or does not apply to this model.
        UnknownNameError: there is no such model.
        ModelError, ErrorList: the file is faulty, with the place.
        UnsupportedError: the file holds something that is not covered, named.
    """
    _check(name_or_path, phase, batch, unknown_op)
    train = phase == "train"
    if train:
        _refuse_in_training(stream=stream, delta=delta, keep_tokens=keep_tokens, format=format)
    elif training:
        raise ArgumentError(f"{next(iter(training))} is an option of training", where=next(iter(training)), hint="give phase train too")
    wanted = None if train else format or default_format
    asked = _Asked(name_or_path, phase, batch, context, tokens, dims, unknown_op, train)
    graph, stated = _read(asked, wanted)
    wanted = {"as asked": wanted, "applied": None, "own": format}[stated]
    if train:
        from workloads.training_step import training_step

        return training_step(_lowered(graph, None, None, False), training or {}, sparsity=sparsity, fuse=fuse)
    graph = _lowered(graph, wanted, sparsity, fuse)
    if stream is None and delta is None and keep_tokens is None:
        return graph
    from workloads.passes import reuse

    return reuse(graph, stream=stream, delta=delta, keep_tokens=keep_tokens)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The arguments of ``load_model`` that say which graph is meant."""

    name: str
    phase: str | None
    batch: int
    context: int | None
    tokens: int | None
    dims: Mapping[str, int] | None
    unknown_op: str
    train: bool

    def refuse(self, *names: str, phase: bool = True) -> None:
        """Raise where one of these, or (``phase``) a phase that only transformers have, is given."""
        _refuse(self.name, self.phase if phase else None, **{name: getattr(self, name) for name in names})


def _read(asked: _Asked, wanted: str | None) -> tuple[OperatorGraph, str]:
    """The graph of a name or file, and what becomes of ``wanted``.

    Returns:
        (graph, ``applied``: it has that format already; ``own``: it states a quantization of its own, which only a format that was asked
        for replaces; ``as asked``: it is still to be quantized).
    """
    from workloads.passes import parse_policy
    from workloads.zoo.cnn import NATIVE_FORMAT, SEQUENCES, network

    plain = wanted if wanted in format_names() else None
    base = plain or (parse_policy(wanted).other.name if wanted else None)
    stated = "applied" if plain else "as asked"
    kind, colon, _ = asked.name.partition(":")
    if (network_of := network(asked.name, asked.tokens, train=asked.train) or _reservoirs(asked.name)) is not None:
        asked.refuse(*(() if asked.name in SEQUENCES else ("tokens",)), "context", "dims")
        tokens = asked.tokens
        if tokens is not None and (isinstance(tokens, bool) or not isinstance(tokens, int) or not 1 <= tokens <= _MOST_TOKENS):
            raise ArgumentError(f"tokens is {tokens!r}", where="tokens", hint=f"it must be a whole number from 1 to {_MOST_TOKENS}")
        return network_of(asked.batch, base or NATIVE_FORMAT), stated
    if colon and kind in SYNTAX:
        asked.refuse("tokens", "context", "dims", *(() if asked.batch == 1 else ("batch",)))
        return single_operator(asked.name, base or "bf16"), stated
    if asked.name.lower().endswith(".csv"):
        return _topology(asked, base or "int8"), stated
    if (config := _transformer(asked.name)) is not None:
        asked.refuse("dims", phase=False)
        graph = _transformer_graph(config, asked.phase, asked.batch, asked.tokens, asked.context)
        return graph, "own" if config.weight_format else "as asked"
    asked.refuse("tokens", "context")
    from workloads.onnx_import import import_onnx

    graph = import_onnx(asked.name, dims=asked.dims, batch=asked.batch, unknown_op=asked.unknown_op)
    return graph, "own" if _states_quantization(graph) else "as asked"


def _topology(asked: _Asked, form: str) -> OperatorGraph:
    """The graph of a SCALE-Sim topology."""
    asked.refuse("tokens", "context", "dims")
    if asked.batch != 1:
        raise ArgumentError(f"batch is {asked.batch}", where="batch", hint="a SCALE-Sim topology is one image: leave the batch out")
    if asked.train:
        hint = "write the network as an ONNX file"
        raise ArgumentError("a SCALE-Sim topology does not say what flows between its layers", where="phase", hint=hint)
    from workloads.scalesim_csv import read_topology

    return read_topology(asked.name, form)


def _check(name: str, phase: str | None, batch: int, unknown_op: str) -> None:
    if not isinstance(name, str) or not name:
        raise ArgumentError(f"a model is a name or a path, not {name!r}", where="model")
    if phase is not None and phase not in PHASES:
        raise ArgumentError(f"unknown phase {phase!r}", where="phase", hint=did_you_mean(str(phase), PHASES))
    if isinstance(batch, bool) or not isinstance(batch, int) or not 1 <= batch < _LARGEST_BATCH:
        raise ArgumentError(f"batch is {batch!r}", where="batch", hint=f"it must be a whole number from 1 to {_LARGEST_BATCH - 1}")
    if unknown_op not in ("refuse", "bytes-only"):
        raise ArgumentError(f"unknown_op is {unknown_op!r}", where="unknown_op", hint="write refuse or bytes-only")


def _refuse(model: str, phase: str | None, **given: object) -> None:
    """Raise where an argument that does not apply to this model is given."""
    if phase not in (None, "inference", "train"):
        raise ArgumentError(f"{model} has no phase {phase!r}", where="phase", hint="leave the phase out; only transformers have phases")
    hints = {
        "tokens": "only sequence models take tokens", "context": "only transformers have a context",
        "dims": "only ONNX files have open axes",
        "batch": "write the batch into the operator's text: rows of a gemm, N of a conv, b of an attention",
    }  # fmt: skip
    for name, value in given.items():
        if value:
            raise ArgumentError(f"{name} does not apply to {model}", where=name, hint=hints[name])


def _refuse_in_training(**given: object) -> None:
    """Raise where an argument of inference is given with the phase ``train``."""
    for name, value in given.items():
        if value is not None:
            hint = "give the precision: fp16-mixed, bf16-mixed, fp32" if name == "format" else "leave it out"
            raise ArgumentError(f"{name} does not apply to training", where=name, hint=hint)


def _reservoirs(name: str) -> Callable[[int, str], OperatorGraph] | None:
    """The builder of the liquid state machine in a ``.yaml`` file; None for any other name."""
    if not name.lower().endswith((".yaml", ".yml")):
        return None
    from workloads.reservoir_file import read_machine
    from workloads.zoo.lsm import lsm

    return partial(lsm, *read_machine(name))


def _transformer(name: str) -> TransformerConfig | None:
    """The config of a transformer of the zoo or of a ``config.json``; None for an ONNX file.

    Raises:
        UnknownNameError: neither a known name nor a path.
        ModelError: a path that does not exist or is of another kind.
    """
    from workloads.zoo.llm import CONFIGS

    if name in CONFIGS:
        return CONFIGS[name]
    path = Path(name)
    if path.suffix == ".json" or path.is_dir():
        from workloads.huggingface import read_config

        return read_config(path)
    if path.suffix == ".onnx" and path.is_file():
        return None
    if path.is_file():
        what = f"a model file is .onnx, config.json or a SCALE-Sim .csv, this is {path.name}"
        raise ModelError(what, where=name, hint="rename it if it is one of these")
    if path.suffix == ".onnx" or "/" in name:
        raise ModelError("no such file", where=name, hint="give the path of an .onnx file, of a config.json or of its folder")
    kind, colon, _ = name.partition(":")
    known = list(SYNTAX) if colon else [model.name for model in list_models()]
    raise UnknownNameError(f"unknown model {name!r}", hint=did_you_mean(kind, known))


def _transformer_graph(config: TransformerConfig, phase: str | None, batch: int, tokens: int | None, context: int | None) -> OperatorGraph:
    from workloads.transformer import decoder_graph, encoder_graph

    if not config.encoder:
        return decoder_graph(config, phase=phase or "prefill", batch=batch, tokens=tokens, context=context)
    if phase not in (None, "encode", "train"):
        raise ArgumentError(f"{config.name} is an encoder and has no phase {phase!r}", where="phase", hint="use phase encode")
    if context is not None:
        raise ArgumentError(f"context does not apply to {config.name}", where="context", hint="an encoder takes tokens")
    return encoder_graph(config, batch=batch, tokens=tokens)


def _states_quantization(graph: OperatorGraph) -> bool:
    """True if the file stores weights as integers, or in a float format of 8 bits or less."""
    weights = [tensor.format for tensor in graph.tensors.values() if tensor.role is Role.WEIGHT]
    return any(stored.family == "int" or stored.bits <= 8 for stored in weights)


def _lowered(graph: OperatorGraph, format: str | None, sparsity: str | None, fuse: bool) -> OperatorGraph:
    from workloads import passes

    graph = passes.decompose(graph)
    if fuse:
        graph = passes.fuse(passes.fuse_attention(graph))
    if format is not None:
        graph = passes.quantize(graph, format)
    if sparsity is not None and sparsity != "dense":
        graph = passes.sparsify(graph, sparsity)
    return graph
