"""Plan files: a memory plan as plain data, and back again.

A plan is written by the names of operators and tensors, so that it can be read by people and checked against the model it was made for:
the settings in the file make the same problem again, and the independent counter walks the plan through it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwspecs.vocabulary.errors import ContractError, InvalidInput
from ilp.problem import Plan, Problem, Stay

if TYPE_CHECKING:
    from cyclewright.scheduling import Scheduled

SCHEMA = 1
KIND = "memory plan"
_HINT = "give a file that `cyclewright schedule -o FILE.yaml` or FILE.json wrote"


@dataclass(frozen=True, slots=True)
class Replayed:
    """A plan file that was counted again.

    Attributes:
        document: the file. ``extra_bytes``: what the counter finds, the same as the file states.
        placed: every tensor has an address.
    """

    document: Mapping[str, Any]
    extra_bytes: int
    placed: bool


def document_of(scheduled: Scheduled) -> dict[str, Any]:
    """The stored form of a schedule: keys in a fixed order, plain data only."""
    answer, found = scheduled.answer, scheduled.budgets
    known = None
    if found is not None:
        known = {"m_r_bytes": found.m_r_bytes, "m_h_bytes": found.m_h_bytes, "m_p_bytes": found.m_p_bytes}
        known |= {"m_p_bound_bytes": found.m_p_bound_bytes, "m_p_proven": found.m_p_proven}
    rows = [
        {"scheme": row.name, "order": row.order, "replacement": row.replacement, "allocator": row.allocator, "extra_bytes": row.extra_bytes}
        for row in scheduled.baselines
    ]
    return {
        "kind": KIND,
        "schema": SCHEMA,
        "model": scheduled.model,
        "scratchpad_bytes": scheduled.scratchpad_bytes,
        "extra_bytes": answer.extra_bytes,
        "lower_bound_bytes": answer.lower_bound_bytes,
        "compulsory_bytes": scheduled.compulsory_bytes,
        "proven": answer.proven,
        "placed": answer.placed,
        "method": answer.method,
        "stopped": answer.stopped,
        "seconds": round(scheduled.seconds, 3),
        "limit_seconds": scheduled.limit_s,
        "effort": dict(answer.effort),
        "budgets": known,
        "baselines": rows,
        "joined": None if answer.plan is None else joined_of(scheduled.problem, answer.plan),
        "settings": dict(scheduled.settings),
        "plan": _plan_document(scheduled),
    }


def joined_of(problem: Problem, plan: Plan) -> dict[str, int] | None:
    """How many joined tensors lie in one piece, where joins are views."""
    from ilp.moves import side_by_side

    if not problem.views:
        return None
    whole, of = side_by_side(problem, plan)
    return {"tensors": of, "in_one_piece": whole}


def _plan_document(scheduled: Scheduled) -> dict[str, Any]:
    from cyclewright.scheduling import kinds_of
    from ilp.moves import told

    problem, plan = scheduled.problem, scheduled.answer.plan
    assert plan is not None
    kinds = kinds_of(scheduled.graph)
    operators = []
    for index in plan.order:
        task = problem.tasks[index]
        row: dict[str, Any] = {"name": task.name, "kind": kinds.get(task.name, ""), "bytes": task.ways[plan.ways[index]].bytes}
        if problem.private and problem.private[index]:
            at = plan.private_addresses[index] if plan.private_addresses else (-1,) * len(problem.private[index])
            row["private"] = [
                {"tensor": name, "bytes": size, "address": address}
                for (name, size), address in zip(problem.private[index], at, strict=True)
            ]
        operators.append(row)
    stays = []
    for each in told(problem, plan):
        item, stay = problem.items[each.stay.item], each.stay
        kind = "" if item.maker is None else kinds.get(problem.tasks[item.maker].name, "")
        stays.append(
            {"tensor": item.name, "kind": kind, "bytes": item.bytes, "first": stay.first, "last": stay.last, "address": stay.address,
             "enters": each.enters, "leaves": each.leaves}
        )  # fmt: skip
    return {"operators": operators, "stays": stays}


def yaml_bytes(document: Mapping[str, Any]) -> bytes:
    """The document as YAML: one line for each operator and stay."""
    plan = document["plan"]
    lines = [_yaml({**{key: value for key, value in document.items() if key != "plan"}}), "plan:\n"]
    for name in ("operators", "stays"):
        lines.append(f"  {name}:\n")
        lines.extend(f"  - {_yaml(row, flow=True)}\n" for row in plan[name])
    return "".join(lines).encode("utf-8")


def _yaml(value: Any, *, flow: bool = False) -> str:
    import yaml

    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10**9, default_flow_style=True if flow else None)
    return text.rstrip("\n") if flow else text


def read_plan_file(path: str | Path) -> dict[str, Any]:
    """A plan file (``.yaml``, ``.yml`` or ``.json``) as plain data.

    Raises:
        InvalidInput: the file cannot be read, or is no plan of this version.
    """
    where = str(path)
    if Path(path).suffix.lower() == ".json":
        try:
            document = json.loads(Path(path).read_text("utf-8"))
        except OSError as error:
            raise InvalidInput(f"cannot read the file: {error.strerror}", where=where, hint=_HINT) from error
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"not valid JSON: {error}", where=where, hint=_HINT) from error
    else:
        document = _read_yaml(path)
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise InvalidInput("the file holds no memory plan", where=where, hint=_HINT)
    if document.get("schema") != SCHEMA:
        raise InvalidInput(f"the plan has the schema {document.get('schema')!r}, not {SCHEMA}", where=where, hint="make it again")
    return document


def _read_yaml(path: str | Path) -> Any:
    """YAML that this module wrote; PyYAML's own loader is enough, since every text that it could misread was quoted when it was written."""
    import yaml

    try:
        return yaml.load(Path(path).read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as error:
        raise InvalidInput(f"cannot read the file: {error.strerror}", where=str(path), hint=_HINT) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise InvalidInput(f"not valid YAML: {getattr(error, 'problem', None) or error}", where=where, hint=_HINT) from error


def replay(path: str | Path, model: str | None = None) -> Replayed:
    """Count a plan file again: make its problem from its settings, walk the plan through it, compare.

    Args:
        model: instead of the model that the file names (a path that has moved).

    Raises:
        InvalidInput: the file is no plan, does not fit its model, or states other bytes, spills, fetches or places than the counter finds.
    """
    from cyclewright.scheduling import load_graph
    from ilp.atomic import atomic_problem
    from ilp.recount import recount

    document = read_plan_file(path)
    where = str(path)
    settings = document.get("settings")
    if not isinstance(settings, dict):
        raise InvalidInput("the plan states no settings", where=where, hint=_HINT)
    name = model or settings.get("model")
    if not isinstance(name, str):
        raise InvalidInput("the plan was made from a graph of a Python program", where=where, hint="name the model beside it")
    passes = {key: bool(settings.get(key)) for key in ("explicit_padding", "split_attention")}
    choices = {key: bool(settings.get(key)) for key in ("weights", "in_place", "concat_views")}
    loading = {key: value for key, value in settings.items() if key not in {*passes, *choices, "model"}}
    unknown = sorted(set(loading) - {"phase", "batch", "context", "tokens", "format", "dims", "unknown_op"})
    if unknown:
        raise InvalidInput(f"the plan has the unknown setting {unknown[0]!r}", where=where, hint=_HINT)
    problem = atomic_problem(load_graph(name, loading, passes), **choices)
    plan = plan_from(document, problem, where)
    try:
        extra = recount(problem, plan, int(document["scratchpad_bytes"]))
    except ContractError as error:
        raise InvalidInput(f"the plan does not hold: {error.where}: {error.what}", where=where, hint="make it again") from error
    if extra != document.get("extra_bytes"):
        what = f"the plan moves {extra} extra bytes and states {document.get('extra_bytes')}"
        raise InvalidInput(what, where=where, hint="make it again")
    joined, stated = joined_of(problem, plan), document.get("joined")
    if stated is not None and stated != joined:
        what = f"the plan states that {stated} joined tensors lie in one piece, and has {joined}"
        raise InvalidInput(what, where=where, hint="make it again")
    placed = all(stay.address >= 0 for stay in plan.stays) and _private_placed(problem, plan)
    _check_stated(document, problem, plan, placed, where)
    return Replayed(document, extra, placed)


def _check_stated(document: Mapping[str, Any], problem: Problem, plan: Plan, placed: bool, where: str) -> None:
    """What pictures and tables read from the file without counting it: spills, fetches, addresses and the bound.

    Raises:
        InvalidInput: one of them is not what the plan has.
    """
    from ilp.moves import told

    found = {(problem.items[each.stay.item].name, each.stay.first): (each.enters, each.leaves) for each in told(problem, plan)}
    for row in document["plan"]["stays"]:
        has, stated = found[row["tensor"], int(row["first"])], (row.get("enters"), row.get("leaves"))
        if stated != has:
            what = f"{row['tensor']!r} from step {row['first']} is {has[0]}, then {has[1]}; the plan states {stated[0]}, then {stated[1]}"
            raise InvalidInput(what, where=where, hint="make it again")
    if document.get("placed") is not placed:
        what = f"the plan states placed: {document.get('placed')}, and {'every' if placed else 'not every'} tensor has an address"
        raise InvalidInput(what, where=where, hint="make it again")
    extra, bound = document["extra_bytes"], document.get("lower_bound_bytes")
    if not isinstance(bound, int) or not 0 <= bound <= extra or document.get("proven") is not (bound == extra):
        what = f"{extra} extra bytes, a bound of {bound} and proven: {document.get('proven')} do not go together"
        raise InvalidInput(what, where=where, hint="make it again")


def _private_placed(problem: Problem, plan: Plan) -> bool:
    return not any(problem.private) or bool(plan.private_addresses)


def plan_from(document: Mapping[str, Any], problem: Problem, where: str) -> Plan:
    """The plan of a document, by the numbers of ``problem``.

    Raises:
        InvalidInput: an operator or tensor that the problem does not have, or a field that is missing or of another type.
    """
    tasks = {task.name: index for index, task in enumerate(problem.tasks)}
    items = {item.name: index for index, item in enumerate(problem.items)}
    try:
        int(document["scratchpad_bytes"])
        operators, rows = document["plan"]["operators"], document["plan"]["stays"]
        order = tuple(_known(tasks, row["name"], "operator", where) for row in operators)
        stays = []
        for row in rows:
            number = _known(items, row["tensor"], "tensor", where)
            if problem.items[number].bytes != row["bytes"]:
                what = f"{row['tensor']!r} has {problem.items[number].bytes} bytes in this model, {row['bytes']} in the plan"
                raise InvalidInput(what, where=where, hint="it was made for other settings")
            stays.append(Stay(number, int(row["first"]), int(row["last"]), int(row["address"])))
        private: list[tuple[int, ...]] = [()] * len(problem.tasks)
        for row, index in zip(operators, order, strict=True):
            own = row.get("private", ())
            stated = [(each["tensor"], each["bytes"]) for each in own]
            if problem.private and stated != list(problem.private[index]):
                raise InvalidInput(f"the operands of {row['name']!r} are others in this model", where=where, hint="make the plan again")
            private[index] = tuple(int(each["address"]) for each in own)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(f"the plan lacks or garbles a field: {error}", where=where, hint=_HINT) from error
    addressed = any(private) and all(address >= 0 for row in private for address in row)
    return Plan(order, (0,) * len(problem.tasks), tuple(stays), tuple(private) if addressed else ())


def _known(numbers: Mapping[str, int], name: object, what: str, where: str) -> int:
    if not isinstance(name, str) or name not in numbers:
        raise InvalidInput(
            f"the model has no {what} {name!r} to schedule", where=where, hint="the plan was made for another model or settings"
        )
    return numbers[name]
