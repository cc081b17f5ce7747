"""The JSON Schema for editors agrees with the reader on the structure of specs; importing the room stays cheap."""

import json
import subprocess
import sys

import pydantic
import pytest

from hwspecs import find_spec, json_schema, list_hardware
from hwspecs.export import spec_model
from hwspecs.vocabulary.located_yaml import load_yaml, parse_yaml
from tests.hwspecs.specs import GOOD
from tests.hwspecs.test_bad_specs import CASES

STRUCTURAL = (
    "list for a number", "no number", "unknown key", "unknown section", "leaf as mapping", "mapping as leaf",
    "leaf without value", "name is a number", "missing schema", "schema of the future", "unknown source", "provenance is text",
    "unknown key in a leaf", "unknown dataflow", "off_chip is text",
)  # fmt: skip


@pytest.mark.parametrize("name", list_hardware())
def test_the_model_accepts_the_library(name):
    spec_model().model_validate(load_yaml(find_spec(name)).plain())


@pytest.mark.parametrize("case", STRUCTURAL)
def test_the_model_refuses_what_the_reader_refuses(case):
    old, new, *_ = CASES[case]
    with pytest.raises(pydantic.ValidationError):
        spec_model().model_validate(parse_yaml(GOOD.replace(old, new)).plain())


def test_the_schema_is_json_and_describes_every_section():
    schema = json.loads(json.dumps(json_schema()))
    assert set(schema["properties"]) >= {
        "schema",
        "name",
        "extends",
        "unit",
        "memory",
        "link",
        "special",
        "fixed",
        "power",
        "area",
        "provenance",
    }
    assert schema["additionalProperties"] is False
    assert "systolic_unit" in schema["$defs"]
    assert "stays in the array" in json.dumps(schema["$defs"]["systolic_unit"]["properties"]["dataflow"])


def test_loading_imports_neither_pydantic_nor_numpy():
    code = (
        "import sys, hwspecs; assert 'yaml' not in sys.modules;"
        "hwspecs.load_hardware('nvidia-h100-sxm', ['hbm.bandwidth=4 TB/s']);"
        "heavy = {'pydantic', 'numpy', 'numba', 'networkx', 'matplotlib'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
