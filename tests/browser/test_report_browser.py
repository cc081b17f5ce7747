"""The report in a real browser: it opens from a file, sorts and filters, logs nothing, loads nothing, and fits narrow windows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import cyclewright as cw
from cyclewright.report import render
from tests.browser.devtools import Browser, find_chromium
from tests.cyclewright.sample_documents import sample_document, sample_whatif

pytestmark = pytest.mark.browser
COLUMN = {"name": 2, "kind": 3, "time": 4, "energy": 17}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine (set CHROMIUM to the path of one)")
    with Browser(program, tmp_path_factory.mktemp("browser") / "profile") as running:
        yield running


@pytest.fixture
def document() -> dict[str, object]:
    return sample_document(70)


@pytest.fixture
def report(tmp_path: Path, document: dict[str, object], browser: Browser) -> Path:
    path = tmp_path / "report.html"
    path.write_text(render(document, whatif=sample_whatif()), encoding="utf-8")
    browser.console.clear()
    browser.requests.clear()
    browser.open(path)
    return path


def _order(browser: Browser) -> list[int]:
    return [int(name[2:]) for name in browser.evaluate("Array.from(document.querySelectorAll('#operators tbody tr'), r => r.id)")]


def _head(browser: Browser, column: int) -> str:
    return str(browser.evaluate(f"document.querySelector('#operators th:nth-child({column})').getAttribute('aria-sort')"))


def test_it_opens_without_errors_and_loads_nothing_from_outside(browser: Browser, report: Path) -> None:
    browser.click(f"#operators th:nth-child({COLUMN['time']}) button")
    assert browser.evaluate("document.readyState") == "complete"
    assert browser.evaluate("document.querySelector('h1').textContent").startswith("resnet50")
    assert browser.evaluate("performance.getEntriesByType('resource').length") == 0
    assert [address for address in browser.requests if not address.startswith("data:")] == [report.as_uri()]
    assert browser.console == []


def test_the_report_of_a_real_run_opens_and_sorts(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "resnet50.html"
    result = cw.run("resnet50", "edge-npu")
    cw.save(result, path)
    browser.console.clear()
    browser.requests.clear()
    browser.open(path)
    browser.click(f"#operators th:nth-child({COLUMN['time']}) button")
    times = [result.operators[row].time_s for row in _order(browser)]
    assert times == sorted(times, reverse=True)
    assert len(times) == len(result.operators)
    assert [address for address in browser.requests if not address.startswith("data:")] == [path.as_uri()]
    assert browser.console == []


def test_a_click_sorts_by_number_largest_first_and_a_second_click_turns_it_round(
    browser: Browser, report: Path, document: dict[str, object]
) -> None:
    times = [operator["time_s"] for operator in document["operators"]]  # type: ignore[attr-defined]
    down = sorted(range(len(times)), key=lambda row: (-times[row], row))
    assert _order(browser) == list(range(len(times)))
    button = f"#operators th:nth-child({COLUMN['time']}) button"
    browser.click(button)
    assert _order(browser) == down
    assert _head(browser, COLUMN["time"]) == "descending"
    browser.click(button)
    assert _order(browser) == sorted(range(len(times)), key=lambda row: (times[row], row))
    assert _head(browser, COLUMN["time"]) == "ascending"


def test_every_column_sorts_and_only_one_is_marked(browser: Browser, report: Path, document: dict[str, object]) -> None:
    heads = browser.evaluate("document.querySelectorAll('#operators th').length")
    for column in range(1, heads + 1):
        browser.click(f"#operators th:nth-child({column}) button")
        assert sorted(_order(browser)) == list(range(70))
        marked = browser.evaluate(
            "Array.from(document.querySelectorAll('#operators th')).filter(h => h.getAttribute('aria-sort') !== 'none').length"
        )
        assert marked == 1
    browser.click(f"#operators th:nth-child({COLUMN['kind']}) button")
    kinds = [operator["kind"] for operator in document["operators"]]  # type: ignore[attr-defined]
    assert [kinds[row] for row in _order(browser)] == sorted(kinds)


def test_the_keyboard_sorts_too(browser: Browser, report: Path, document: dict[str, object]) -> None:
    browser.evaluate(f"document.querySelector('#operators th:nth-child({COLUMN['energy']}) button').focus()")
    browser.press("Enter", "Enter", 13, "\r")
    spent = [sum(operator["energy_j"].values()) for operator in document["operators"]]  # type: ignore[attr-defined]
    assert [spent[row] for row in _order(browser)] == sorted(spent, reverse=True)


def test_the_filter_narrows_the_table_and_says_how_many_are_left(browser: Browser, report: Path, document: dict[str, object]) -> None:
    browser.evaluate("document.getElementById('filter').focus()")
    browser.type("pool")
    pools = sum(operator["kind"] == "pool" for operator in document["operators"])  # type: ignore[attr-defined]
    visible = browser.evaluate("Array.from(document.querySelectorAll('#operators tbody tr')).filter(r => !r.hidden).length")
    assert visible == pools > 0
    assert browser.evaluate("document.getElementById('shown').textContent") == f"{pools} of 70 operators"


def test_a_dot_of_the_roofline_leads_to_its_row(browser: Browser, report: Path) -> None:
    row = browser.evaluate(
        "(() => { const a = document.querySelector('.wide svg a'); a.dispatchEvent(new MouseEvent('click', {bubbles: true})); "
        "return a.getAttribute('href') + ' ' + location.hash; })()"
    )
    wanted, reached = row.split(" ")
    assert wanted == reached
    assert wanted.startswith("#op")


@pytest.mark.parametrize("width", [1280, 900, 768, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_no_window_width_needs_sideways_scrolling_and_text_stays_legible(browser: Browser, report: Path, width: int, dark: bool) -> None:
    browser.open(report, width=width, dark=dark)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    shown = browser.evaluate("Array.from(document.querySelectorAll('figure svg')).filter(s => s.getBoundingClientRect().width > 0).length")
    assert shown == 7  # each figure once: the wide or the narrow layout
    paper, ink = browser.evaluate("(() => { const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]; })()")
    assert (paper == "rgb(255, 255, 255)") is not dark
    assert paper != ink
    smallest = browser.evaluate(
        "Math.min(...Array.from(document.querySelectorAll('figure svg')).filter(s => s.getBoundingClientRect().width > 0).map(s => "
        "Math.min(...Array.from(s.querySelectorAll('text'), t => Number(t.getAttribute('font-size')))) "
        "* s.getBoundingClientRect().width / s.viewBox.baseVal.width))"
    )
    assert smallest >= 8


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_the_report_of_a_crossbar_shows_its_figures_once_and_fits(browser: Browser, tmp_path: Path, width: int, dark: bool) -> None:
    path = tmp_path / "crossbar.html"
    cw.save(cw.run("resnet18", "neurosim-rram", search="play", interval=False), path)
    browser.console.clear()
    browser.open(path, width=width, dark=dark)
    assert browser.console == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    figures = "Array.from(document.querySelectorAll('#arrays figure svg')).filter(s => s.getBoundingClientRect().width > 0)"
    assert browser.evaluate(f"{figures}.length") == 3
    # colours of the page, not of a file: a block of the map is drawn in the theme's first colour
    first = f"getComputedStyle({figures}[0].querySelector('rect[fill=\\'var(--s1)\\']')).fill"
    assert browser.evaluate(first) == ("rgb(74, 163, 223)" if dark else "rgb(0, 114, 178)")
    assert browser.evaluate("document.querySelectorAll('#arrays details tbody tr').length") == 21


def test_hostile_names_run_nothing(browser: Browser, tmp_path: Path) -> None:
    hostile = "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"
    path = tmp_path / "hostile.html"
    path.write_text(render(sample_document(12, names=[hostile] * 12)), encoding="utf-8")
    browser.console.clear()
    browser.open(path)
    assert browser.evaluate("window.hit === undefined")
    assert browser.evaluate("document.querySelectorAll('img').length") == 0
    assert browser.console == []


def test_paper_shows_everything_on_white(browser: Browser, report: Path) -> None:
    browser.send("Emulation.setEmulatedMedia", {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]})
    try:
        assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert browser.evaluate("getComputedStyle(document.querySelector('.scroll.tall')).maxHeight") == "none"
    finally:
        browser.send("Emulation.setEmulatedMedia", {"media": "", "features": []})
