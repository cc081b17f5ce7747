"""``cyclewright specs``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from cyclewright.cli.options import json_option, set_option
from cyclewright.cli.text import heading, pairs, print_json, table
from hwspecs.vocabulary.errors import ErrorList

if TYPE_CHECKING:
    from hwspecs.hardware import Hardware

_HELP = """Hardware specs: the library, one spec with every number's source, checking a file of your own.

\b
Examples:
  cyclewright specs list
  cyclewright specs show nvidia-h100-sxm
  cyclewright specs validate my-npu.yaml
  cyclewright specs schema > cyclewright-spec.schema.json
"""


@click.group(help=_HELP, short_help="The library of hardware; show or check a spec.")
def specs() -> None:
    """Group of the spec commands."""


@specs.command("list", short_help="Names of the library.")
@json_option
def list_specs(as_json: bool) -> None:
    """List the library: name, kinds of compute units, description."""
    from hwspecs import describe_hardware

    found = describe_hardware()
    if as_json:
        rows = [
            {
                "name": each.name,
                "family": each.family,
                "kinds": list(each.kinds),
                "unserved": _unserved(each.kinds),
                "description": each.description,
            }
            for each in found
        ]
        print_json({"specs": rows})
        return
    rows_of = [(each.name, _kinds(each.kinds), " ".join(each.description.split())) for each in found]
    table(("name", "units", "description"), rows_of, left=3, whole=True)


def _unserved(kinds: Iterable[str]) -> list[str]:
    """Those kinds of units that no mapper serves: a spec with one can be written and shown, but nothing runs on it."""
    from mappings.registry import mapper_kinds

    served = mapper_kinds()
    return [kind for kind in dict.fromkeys(kinds) if kind not in served]


def _kinds(kinds: Iterable[str]) -> str:
    unserved = _unserved(kinds)
    return ", ".join(f"{kind} (no mapper yet)" if kind in unserved else kind for kind in kinds)


@specs.command(short_help="Every number of a spec, with its source and citation.")
@click.argument("name")
@set_option
@json_option
def show(name: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Print every number of the spec NAME (or a path), with where it comes from."""
    from cyclewright.api import overrides_of
    from cyclewright.cli.run import resource_line
    from hwspecs import load_hardware
    from mappings.fpga import resources_of

    device = load_hardware(name, overrides_of(overrides))
    if as_json:
        print_json(_document(device))
        return
    click.echo(click.style(device.name, bold=True) + (f"  {device.description}" if device.description else ""))
    kinds = ", ".join(f"{unit.name} ({unit.kind})" for unit in device.units.values())
    rows = [("family", device.family), ("units", kinds), ("default format", device.default_format), ("digest", device.digest[:16])]
    pairs([*rows, *resource_line(resources_of(device))])
    _show_peaks(device)
    heading("numbers")
    table(
        ("path", "value", "low", "high", "source", "citation"),
        [
            (leaf.path, leaf.text, _bound(leaf.low, leaf.unit), _bound(leaf.high, leaf.unit), leaf.source, " ".join(leaf.cite.split()))
            for leaf in device.leaves.values()
        ],
        left=6,
        whole=True,
    )


def _show_peaks(device: Hardware) -> None:
    """Peak rate, power and area by component of a device with arrays of memory cells, from its parts."""
    if not any(unit.kind == "crossbar" for unit in device.units.values()):
        return
    from hwspecs.vocabulary.units import format_quantity
    from mappings.crossbar.peak import peaks_of

    for peak in peaks_of(device):
        heading(f"peak of unit {peak.unit}, all arrays busy")
        rows = [("rate", f"{peak.tops:.4g} TOPS, one product per array each {format_quantity(peak.interval_s, 's')}")]
        for name, ratio in (("TOPS/W", peak.tops_per_w), ("TOPS/mm2", peak.tops_per_mm2)):
            if ratio is not None:
                rows.append((name, f"{ratio:.4g}"))
        if peak.stated_area_mm2 is not None:
            rows.append(("stated area", f"{peak.stated_area_mm2:.4g} mm2"))
        pairs(rows)
        parts = dict.fromkeys((*peak.power_w, *peak.area_mm2))
        watts, mm2 = peak.total_power_w or 1.0, peak.total_area_mm2 or 1.0
        table(
            ("component", "power", "share", "area", "share"),
            [
                (
                    part,
                    format_quantity(peak.power_w.get(part, 0.0), "W"),
                    f"{100 * peak.power_w.get(part, 0.0) / watts:.1f} %",
                    f"{peak.area_mm2.get(part, 0.0):.4g} mm2",
                    f"{100 * peak.area_mm2.get(part, 0.0) / mm2:.1f} %",
                )
                for part in sorted(parts, key=lambda name: -peak.power_w.get(name, 0.0))
            ],
        )


def _bound(value: float | None, unit: str) -> str:
    from hwspecs.vocabulary.units import format_quantity

    return "" if value is None else format_quantity(value, unit)


def _document(device: Hardware) -> dict[str, Any]:
    from dataclasses import asdict

    peaks: dict[str, Any] = {}
    if any(unit.kind == "crossbar" for unit in device.units.values()):
        from mappings.crossbar.peak import peaks_of

        peaks = {"peaks": [peak.as_dict() for peak in peaks_of(device)]}
    return {
        **peaks,
        "name": device.name, "description": device.description, "family": device.family, "default_format": device.default_format,
        "digest": device.digest, "units": {unit.name: unit.kind for unit in device.units.values()}, "memories": list(device.memories),
        "leaves": [asdict(leaf) for leaf in device.leaves.values()],
    }  # fmt: skip


@specs.command(short_help="Check a spec file; every fault with line and column.")
@click.argument("file")
@json_option
def validate(file: str, as_json: bool) -> None:
    """Check the spec FILE. Exits with 2 if it has faults."""
    from hwspecs import validate_file

    faults = validate_file(file)
    notes = [] if faults else _notes(file)
    if as_json:
        errors = [{"where": fault.where, "what": fault.what, "hint": fault.hint} for fault in faults]
        print_json({"file": file, "valid": not faults, "errors": errors, "notes": notes})
        if faults:
            raise click.exceptions.Exit(2)
        return
    if faults:
        raise ErrorList(faults)
    click.echo(f"{file} is a valid spec")
    for note in notes:
        click.echo(f"note: {note}")


def _notes(file: str) -> list[str]:
    """What a good spec still cannot do."""
    from hwspecs import load_hardware

    units = load_hardware(file).units.values()
    return [
        f"no mapper serves kind {kind!r} here yet (unit {unit.name!r}): nothing runs on it until a plug-in does"
        for kind in _unserved(unit.kind for unit in units)
        for unit in [next(unit for unit in units if unit.kind == kind)]
    ]


@specs.command(short_help="The JSON Schema of a spec, for editors.")
def schema() -> None:
    """Print the JSON Schema of a spec."""
    from hwspecs import json_schema

    click.echo(json.dumps(json_schema(), indent=1))
