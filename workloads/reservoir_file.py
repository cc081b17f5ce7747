"""Liquid state machines from a YAML file.

    name: my-sensor
    outputs: 10                     # classes; of several reservoirs the width of the projections that are compared
    reservoirs:
      image: {inputs: 256, neurons: 240, steps: 50, threshold: 5.0, decay: 0.9, weight_scale: 0.1, input_density: 0.08, spike_density: 0.02}

A reservoir without densities states ``encoding`` (a key of ``workloads.events.ENCODINGS``); then both are simulated, with seed 0.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hwspecs.vocabulary.errors import CyclewrightError, ErrorList, ModelError
from hwspecs.vocabulary.located_yaml import Mark, Node, load_yaml
from hwspecs.vocabulary.suggest import did_you_mean
from workloads.reservoir import Reservoir, densities
from workloads.zoo.lsm import Machine

_SIZES, _NUMBERS, _DENSITIES = ("inputs", "neurons", "steps"), ("threshold", "decay", "weight_scale"), ("input_density", "spike_density")
_KEYS = (*_SIZES, *_NUMBERS, *_DENSITIES, "encoding")
_HINT = "write inputs, neurons, steps, threshold, decay, weight_scale, and input_density and spike_density or an encoding"


def read_machine(path: str | Path) -> tuple[str, Machine]:
    """(name, machine) of a file; the name is the file's where it states none.

    Raises:
        ErrorList, ModelError: what is wrong, each fault with its place.
    """
    root = load_yaml(path, error=ModelError)
    reader = _Reader()
    top = reader.mapping(root, "the file", ("name", "outputs", "reservoirs"))
    name = top["name"].value if "name" in top else Path(path).stem
    if not isinstance(name, str) or not name:
        reader.fail(top["name"].mark, "name is no text", "write a name")
    outputs = reader.size(top.get("outputs"), "outputs", root.mark)
    listed = top.get("reservoirs")
    found = reader.mapping(listed, "reservoirs", ()) if listed is not None else {}
    if not found:
        reader.fail(listed.mark if listed else root.mark, "there is no reservoir", "write reservoirs: and below it one per sensor")
    reservoirs = {sensor: reader.reservoir(sensor, node) for sensor, node in found.items()}
    if reader.errors:
        raise reader.errors[0] if len(reader.errors) == 1 else ErrorList(reader.errors)
    return str(name), Machine({sensor: item for sensor, item in reservoirs.items() if item is not None}, outputs)


class _Reader:
    def __init__(self) -> None:
        self.errors: list[CyclewrightError] = []

    def fail(self, mark: Mark, what: str, hint: str) -> None:
        self.errors.append(ModelError(what, where=str(mark), hint=hint))

    def mapping(self, node: Node, what: str, known: tuple[str, ...]) -> dict[str, Node]:
        """Entries of a mapping whose keys are among ``known``, if any are."""
        if not isinstance(node.value, dict):
            self.fail(node.mark, f"{what} is a {node.kind}, not a mapping", _HINT)
            return {}
        for key in node.value:
            if known and key not in known:
                self.fail(node.keys[key], f"{what} has the unknown key {key!r}", did_you_mean(key, known))
        return node.value

    def size(self, node: Node | None, key: str, place: Mark) -> int:
        """A whole number of at least 1."""
        value = node.value if node is not None else None
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            return value
        self.fail(node.mark if node is not None else place, f"{key} is {'missing' if node is None else repr(value)}", "give a whole number")
        return 1

    def number(self, node: Node | None, key: str, place: Mark) -> float:
        """A number."""
        value = node.value if node is not None else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        self.fail(node.mark if node is not None else place, f"{key} is {'missing' if node is None else repr(value)}", "give a number")
        return 1.0

    def reservoir(self, sensor: str, node: Node) -> Reservoir | None:
        """One reservoir; None if it has faults."""
        before = len(self.errors)
        entries = self.mapping(node, f"reservoir {sensor}", _KEYS)
        inputs, neurons, steps = (self.size(entries.get(key), key, node.mark) for key in _SIZES)
        threshold, decay, scale = (self.number(entries.get(key), key, node.mark) for key in _NUMBERS)
        encoding = entries["encoding"].value if "encoding" in entries else ""
        shares = [self.number(entries.get(key), key, node.mark) for key in _DENSITIES if key in entries or not encoding]
        if len(self.errors) > before:
            return None
        try:
            entering, own = shares if len(shares) == len(_DENSITIES) else (1.0, 1.0)
            item = Reservoir(inputs, neurons, steps, threshold, decay, scale, entering, own, str(encoding))
            if len(shares) == len(_DENSITIES):
                return item
            found = densities(item)
            least = 1.0 / (item.neurons * item.steps)
            entering = shares[0] if "input_density" in entries else max(found.input_density, least)
            own = shares[-1] if "spike_density" in entries else max(found.spike_density, least)
            return replace(item, input_density=entering, spike_density=own)
        except CyclewrightError as error:
            self.fail(node.mark, f"reservoir {sensor}: {error.what}", error.hint or _HINT)
            return None
