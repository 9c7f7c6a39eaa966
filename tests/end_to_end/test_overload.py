"""A full host refuses ten times as many sessions at once, each in so many words, and goes on answering those it has."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest

from scripts.bench import overload
from scripts.bench.daemons import Daemon
from tests.fakes import hosts
from tests.fakes.hosts import HostOptions
from wire.codes import Code

pytestmark = pytest.mark.timeout(240)


async def test_a_storm_is_refused_by_type_and_running_sessions_stay_exact(
    tiny_model: Path, tmp_path: Path
) -> None:
    terms = overload.Terms(model=str(tiny_model), sessions=4, rounds=2, window_s=1.0)
    with tempfile.TemporaryDirectory(prefix="lm") as folder:
        socket = Path(folder) / "c"
        options = HostOptions(control=socket, more=("--max-sessions", str(terms.sessions)))
        host = hosts.start(tmp_path / "host", tiny_model, "1:5", options)
        try:
            await asyncio.to_thread(host.wait_ready)
            daemon = Daemon(pid=host.pid, contact=host.contact, control=socket)
            storms, wedge = await overload.Overload(terms, daemon, tmp_path).run()
        finally:
            await asyncio.to_thread(host.end)
    assert storms.codes == {Code.TOO_MANY_SESSIONS.text: terms.rounds * overload.TIMES * terms.sessions}
    assert storms.without_hint == 0
    assert (storms.wrong, storms.failed) == ((), ())
    assert storms.answers > 0 and storms.storm_tokens_per_s > 0
    assert wedge.let_go_s is not None and wedge.left == ()
    assert wedge.asked > 0 and wedge.peak_growth_bytes < overload.WEDGED_BAR_BYTES
    assert "Traceback" not in host.stderr
