"""YAML with places: the traps of PyYAML, and every fault located."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.vocabulary.errors import ErrorList, ModelError
from hwspecs.vocabulary.located_yaml import load_yaml, parse_yaml


def test_traps_of_pyyaml():
    tree = parse_yaml('a: 1e9\non: yes\n"2:4": off\n2:8: 2:4\nn: ~\nhex: 0x10\ndate: 2024-01-01\noctal: 010\n')
    assert tree.plain() == {
        "a": 1e9, "on": "yes", "2:4": "off", "2:8": "2:4", "n": None, "hex": "0x10", "date": "2024-01-01", "octal": 10.0,
    }  # fmt: skip


def test_quoted_scalars_stay_text():
    assert parse_yaml("a: '5'\nb: \"true\"\nc: 5\nd: true\n").plain() == {"a": "5", "b": "true", "c": 5, "d": True}


def test_places_of_keys_and_values():
    tree = parse_yaml("top:\n  inner: [1,\n    two]\n", "f.yaml")
    inner = tree.value["top"].value["inner"]
    assert str(tree.value["top"].keys["inner"]) == "f.yaml:2:3"
    assert str(inner.mark) == "f.yaml:2:10"
    assert str(inner.value[1].mark) == "f.yaml:3:5"


def test_anchors_and_merge_keys():
    tree = parse_yaml("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\n")
    assert tree.plain()["use"] == {"y": 3, "x": 1}


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "f:3:1", "duplicate key 'a', first at line 1"),
        ("a:\n\t- b\n", "f:2:1", "indent with spaces, not tabs"),
        ("a: [1, 2\n", "f:2:1", "not valid YAML"),
        ("a: b: c\n", "f:1:5", "not valid YAML"),
        ("", "f:1:1", "the file is empty"),
        ("# only a comment\n", "f:1:1", "the file is empty"),
        ("a: &x [*x]\n", "f:1:4", "an anchor holds itself"),
        ("a: !!python/object:os.system {}\n", "f:1:4", "tag"),
        ("a: !mine 1\n", "f:1:4", "the tag !mine is not understood"),
        ("? [1, 2]\n: 3\n", "f:1:3", "a key is a list or mapping"),
        ("a: 1\n---\nb: 2\n", "f:2:1", "another document"),
        ("a: \x00\n", "f:1:4", "control character"),
        ("a: *nobody\n", "f:1:4", "undefined alias"),
        ("a:\n  <<: 5\n", "f:2:7", "not a mapping"),
    ],
)
def test_faults_are_located(text, where, message):
    with pytest.raises(ErrorList) as caught:
        parse_yaml(text, "f")
    assert caught.value.errors[0].where == where
    assert message in str(caught.value)
    assert caught.value.errors[0].hint


def test_all_duplicates_at_once():
    with pytest.raises(ErrorList) as caught:
        parse_yaml("a: 1\na: 2\nb:\n  c: 1\n  c: 2\n", "f")
    assert [error.where for error in caught.value.errors] == ["f:2:1", "f:5:3"]


def test_nested_anchors_cannot_blow_up():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(ErrorList, match="nest fewer anchors"):
        parse_yaml("\n".join(lines), "f")


@pytest.mark.parametrize("levels", [1000, 12_000])
def test_deep_nesting_is_refused(levels):
    with pytest.raises(ErrorList, match="nested too deeply"):
        parse_yaml("[" * levels + "]" * levels, "f")


def test_files(tmp_path):
    with pytest.raises(ErrorList, match="cannot read the file"):
        load_yaml(tmp_path / "none.yaml")
    with pytest.raises(ErrorList, match="give a file, not a folder"):
        load_yaml(tmp_path)
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(ErrorList, match=r"latin.yaml:2:7: not a text file in UTF-8"):
        load_yaml(path)
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert load_yaml(path).plain() == {"a": 1}


def test_the_error_class_is_the_callers():
    with pytest.raises(ErrorList) as caught:
        parse_yaml("a: [", "f", error=ModelError)
    assert isinstance(caught.value.errors[0], ModelError)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab:[]{}&*!?-#'\"\n\t %@`|><,1.e~\x07\u00e9", max_size=40))
def test_any_text_is_read_or_refused_with_a_place(text):
    try:
        parse_yaml(text, "f")
    except ErrorList as error:
        faults = error.errors
    else:
        return
    assert faults
    assert all(fault.where and fault.where.startswith("f") for fault in faults)
