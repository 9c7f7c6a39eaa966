"""`lamella-node` started wrongly says in one sentence what is wrong and what to do; stopped, it says so and is gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chat.errors import ChainBroken
from chat.events import TextDelta
from scripts.make_model import write_tiny
from tests.end_to_end.conftest import Reference
from tests.fakes import asking, hosts
from tests.fakes.hosts import Host, HostOptions
from wire.codes import Code
from wire.types import Address

pytestmark = pytest.mark.timeout(300)

Change = Callable[[Path], None]
LAYERS = [
    "--layers",
    "1:3",
    "--dtype",
    "float32",
    "--threads",
    "1",
    "--listen",
    "127.0.0.1:0",
    "--control",
    "off",
]


def _fails(arguments: list[str], *, code: int, saying: str) -> str:
    """Start a host that cannot start; returns its one sentence."""
    host = Host(arguments)
    try:
        assert host.wait(hosts.START_TIMEOUT_S) == code, (host.said, host.stderr)
    finally:
        host.end()
    lines = host.stderr.splitlines()
    assert len(lines) == 1, host.stderr
    assert lines[0].startswith("lamella-node: ")
    assert saying in lines[0]
    assert "; " in lines[0], "cause; next step"
    assert host.said[-1] == {"event": "error", "message": lines[0].removeprefix("lamella-node: ")}
    assert "ready" not in [one["event"] for one in host.said]
    return lines[0]


# Words.


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        (["--control", "off"], "nothing to serve"),
        (["--layers", "1:2"], "--layers comes after the --model"),
        (["--model", "m", "--layers", "2:2"], "holds no layer"),
        (["--model", "m", "--layers", "5:2"], "5:2"),
        (["--model", "m", "--layers", "all"], "write START:END"),
        (["--model", "m", "--listen", "localhost:7311"], "is not an IP address"),
        (["--model", "m", "--listen", "7311"], "write IP:PORT"),
        (["--model", "m", "--listen", "127.0.0.1:70000"], "is not between 0 and 65535"),
        (["--model", "m", "--network", ""], "a network name is"),
        (["--model", "m", "--threads", "0"], "must be a whole number from 1 to 256"),
        (["--model", "m", "--kv-memory", "much"], "write 512M or 4G"),
        (["--model", "m", "--grace", "-1"], "must be a number from 0 to 86400"),
        (["--model", "m", "--dtype", "int3"], "must be one of float32"),
        (["--model", "m", "--speed", "9"], "unrecognized arguments: --speed"),
    ],
)
def test_wrong_words_are_explained_in_a_sentence(arguments: list[str], saying: str) -> None:
    _fails(arguments, code=2, saying=saying)


# Models.


def _config(**changes: object) -> Change:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    return change


def _shard(folder: Path) -> Path:
    """The file that holds layer 1."""
    index: dict[str, str] = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    return folder / next(file for name, file in index.items() if name.startswith("model.layers.1."))


def _cut(folder: Path) -> None:
    file = _shard(folder)
    os.truncate(file, file.stat().st_size // 2)


def _pickle(folder: Path) -> None:
    for file in folder.glob("*safetensors*"):
        file.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR.")


@pytest.mark.parametrize(
    ("change", "saying"),
    [
        (shutil.rmtree, "there is no model"),
        (lambda folder: (folder / "config.json").unlink(), "holds no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
        (_config(model_type="rwkv"), "rwkv"),
        (_config(model_type="no-such-family"), "no-such-family"),
        (_config(model_type=None), "model type"),
        (_config(num_hidden_layers=2), "layers"),
        (_config(hidden_size=128), "the config asks for"),
        (_cut, "safetensors"),
        (lambda folder: _shard(folder).write_bytes(b"\xff" * 4096), "safetensors"),
        (lambda folder: _shard(folder).write_bytes(b""), "safetensors"),
        (lambda folder: _shard(folder).unlink(), "is not here"),
        (_pickle, "pickled weights"),
        (lambda folder: (folder / "model.safetensors.index.json").write_text("[]"), "index"),
    ],
)
def test_a_model_that_cannot_be_served_is_named(
    tiny_model: Path, tmp_path: Path, change: Change, saying: str
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    change(folder)
    _fails(["--model", str(folder), "--identity", str(tmp_path / "identity"), *LAYERS], code=1, saying=saying)


def test_layers_that_the_model_lacks_are_named(tiny_model: Path, tmp_path: Path) -> None:
    base = ["--model", str(tiny_model), "--identity", str(tmp_path / "identity")]
    _fails([*base, "--layers", "3:9"], code=1, saying="3:9")


def test_a_tensor_that_is_missing_is_named(tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    _config(num_hidden_layers=6)(folder)
    base = ["--model", str(folder), "--identity", str(tmp_path / "identity")]
    _fails([*base, "--layers", "4:6"], code=1, saying="tensor model.layers.5.")


# Identities.


def _loose(identity: Path) -> None:
    identity.write_text("lamella-identity-1 x\n")
    identity.chmod(0o644)


def _damaged(identity: Path) -> None:
    identity.write_text("lamella-identity-1 x\n")
    identity.chmod(0o600)


def _linked(identity: Path) -> None:
    identity.symlink_to("/dev/zero")


def _replaceable(identity: Path) -> None:
    identity.parent.chmod(0o777)


@pytest.mark.parametrize(
    ("spoil", "saying"),
    [
        (_loose, "is open to other users"),
        (_damaged, "is damaged"),
        (_linked, "is a symbolic link"),
        (os.mkfifo, "is not a plain file"),
        (Path.mkdir, "is not a plain file"),
        (_replaceable, "other users can replace files"),
    ],
)
def test_an_identity_that_cannot_be_trusted_is_refused(
    tiny_model: Path, tmp_path: Path, spoil: Change, saying: str
) -> None:
    identity = tmp_path / "own" / "identity"
    identity.parent.mkdir(mode=0o700)
    spoil(identity)
    _fails(["--model", str(tiny_model), "--identity", str(identity), *LAYERS], code=1, saying=saying)


def test_an_identity_that_cannot_be_reached_is_explained(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    arguments = ["--model", str(tiny_model), "--identity", str(tmp_path / "file" / "identity"), *LAYERS]
    _fails(arguments, code=1, saying="cannot be read (Not a directory)")


@pytest.mark.skipif(os.geteuid() == 0, reason="no file is unreadable to root")
def test_an_identity_that_may_not_be_read_is_explained(tiny_model: Path, tmp_path: Path) -> None:
    _damaged(tmp_path / "identity")
    (tmp_path / "identity").chmod(0)
    arguments = ["--model", str(tiny_model), "--identity", str(tmp_path / "identity"), *LAYERS]
    _fails(arguments, code=1, saying="cannot be read (Permission denied)")


@pytest.fixture(params=["size=4k", "ro"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A full disk and one that cannot be written; for root a real mount, else a folder without write access."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        if request.param != "ro":
            pytest.skip("only root can mount a disk to fill")
        folder.chmod(0o500)
        yield folder
        folder.chmod(0o700)
        return
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"{request.param},mode=0700", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        with contextlib.suppress(OSError):
            (folder / "full").write_bytes(b"x" * 8192)
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_an_identity_that_cannot_be_stored_leaves_nothing_behind(tiny_model: Path, small_disk: Path) -> None:
    arguments = ["--model", str(tiny_model), "--identity", str(small_disk / "identity"), *LAYERS]
    _fails(arguments, code=1, saying="cannot be made (")
    assert {one.name for one in small_disk.iterdir()} <= {"full"}


# Ports.


def test_a_port_in_use_is_told_before_the_model_is_loaded(tiny_model: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        where = f"127.0.0.1:{other.getsockname()[1]}"
        arguments = ["--model", str(tiny_model), "--identity", str(tmp_path / "identity"), "--listen", where]
        said = _fails([*arguments, *LAYERS], code=1, saying=f"another program listens at {where}")
    assert "loading" not in said


def test_an_address_of_another_machine_is_explained(tiny_model: Path, tmp_path: Path) -> None:
    arguments = ["--model", str(tiny_model), "--identity", str(tmp_path / "identity")]
    _fails(
        [*arguments, "--listen", "192.0.2.1:7311", *LAYERS], code=1, saying="cannot listen at 192.0.2.1:7311"
    )


# Stopping.


def _stopped(host: Host, *, cut_off: int = 0) -> None:
    assert host.wait() == 0, host.stderr
    assert host.said[-1] == {"event": "stopped", "cut_off": cut_off}
    assert "Traceback" not in host.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_host_stops_when_asked_and_frees_its_port(
    tiny_model: Path, tmp_path: Path, number: signal.Signals
) -> None:
    host = hosts.start(tmp_path / "identity", tiny_model, "1:3")
    try:
        address = host.wait_ready().address
        host.send_signal(number)
        _stopped(host)
    finally:
        host.end()
    with socket.create_server((address.ip, address.port)):
        pass


def test_a_host_that_is_loading_stops_when_asked(tmp_path: Path) -> None:
    deep = write_tiny(tmp_path / "deep", "llama", num_hidden_layers=64)
    host = hosts.start(tmp_path / "identity", deep, "0:64")
    try:
        host.wait_for("loading")
        host.send_signal(signal.SIGTERM)
        _stopped(host)
        assert [one["event"] for one in host.said] == ["loading", "stopped"]
    finally:
        host.end()


async def _answer_while_stopping(
    host: Host, model: Path, identity: Path, count: int, stop: Callable[[], None]
) -> list[int]:
    """Ask the host; once the answer is under way, stop the host. Returns the tokens that came."""
    drawn: list[int] = []
    async with asking.client(model, [host.contact], identity) as client:
        options = asking.answer_options(count)
        async for event in client.session.answer(range(10, 30), asking.NoText(), options):
            if isinstance(event, TextDelta):
                drawn += event.token_ids
                if len(drawn) == 3:
                    stop()
    return drawn


async def test_an_answer_under_way_is_finished_within_the_grace(
    tiny_model: Path, tmp_path: Path, whole_model_tokens: Reference
) -> None:
    host = hosts.start(tmp_path / "identity", tiny_model, "1:5", HostOptions(grace_s=60))
    try:
        host.wait_ready()
        drawn = await _answer_while_stopping(
            host, tiny_model, tmp_path / "client", 60, lambda: host.send_signal(signal.SIGTERM)
        )
        assert drawn == whole_model_tokens(tiny_model, range(10, 30), 60)
        await asyncio.to_thread(_stopped, host)
        assert next(one for one in host.said if one["event"] == "stopping")["active"] == 1
    finally:
        host.end()


async def test_an_answer_longer_than_the_grace_is_cut_off_and_counted(
    tiny_model: Path, tmp_path: Path
) -> None:
    host = hosts.start(tmp_path / "identity", tiny_model, "1:5", HostOptions(grace_s=0))
    try:
        host.wait_ready()
        with pytest.raises(ChainBroken, match="the host is stopping") as broken:
            await _answer_while_stopping(
                host, tiny_model, tmp_path / "client", 420, lambda: host.send_signal(signal.SIGTERM)
            )
        assert broken.value.code is Code.SHUTTING_DOWN
        await asyncio.to_thread(_stopped, host, cut_off=1)
    finally:
        host.end()


async def test_a_second_signal_stops_at_once(tiny_model: Path, tmp_path: Path) -> None:
    host = hosts.start(tmp_path / "identity", tiny_model, "1:5", HostOptions(grace_s=600))

    def twice() -> None:
        host.send_signal(signal.SIGTERM)
        host.wait_for("stopping")
        host.send_signal(signal.SIGTERM)

    try:
        host.wait_ready()
        with pytest.raises(ChainBroken) as broken:
            await _answer_while_stopping(host, tiny_model, tmp_path / "client", 420, twice)
        assert broken.value.code is Code.SHUTTING_DOWN
        await asyncio.to_thread(_stopped, host, cut_off=1)
    finally:
        host.end()


def test_a_port_can_be_chosen(tiny_model: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = [
        "--model",
        str(tiny_model),
        "--identity",
        str(tmp_path / "identity"),
        *LAYERS[:-4],
        "--control",
        "off",
    ]
    host = Host([*arguments, "--listen", f"127.0.0.1:{port}"])
    try:
        assert host.wait_ready().address == Address("127.0.0.1", port)
    finally:
        host.end()
