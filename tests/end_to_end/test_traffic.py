"""What somebody on the wire sees of a question and its answer: nothing that was said, computed or named.

Every link of the chain, host to host too, runs through a proxy that keeps each byte. The same detector that must find
nothing there finds everything in a plaintext copy of the messages. What stays visible, and is not tested here: who
speaks with whom, when, and how much (`specs/wire.md` §Security).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from chat.events import Finished
from tests.end_to_end.conftest import Hosts
from tests.fakes import asking, whole
from tests.fakes.proxy import recording
from wire import codec
from wire.cbor import dumps
from wire.contacts import Contact
from wire.messages.base import Body, Message

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

PROMPT: Final = "What is the capital of France? Please do not tell anybody that I asked you."
LAYERS = 5
CUTS: Final = (1, 3, LAYERS)
WINDOW_BYTES: Final = 16
"""Of hidden states: four float32 values, or eight in bfloat16."""
Secrets = Mapping[str, set[bytes]]
"""Byte strings of one length per name, any of which would give it away."""


@dataclass
class Conversation:
    """One question, asked twice in each mode, and all that is known of it."""

    wire: list[bytes]
    """Every byte stream of every link."""
    plain: dict[bool, bytes]
    """The messages of the client's own links before encryption and after decryption, without and with private ends."""
    secrets: Secrets
    links: int


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def conversation(
    run_hosts: Hosts, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Conversation]:
    """The question, asked of two hosts through proxies."""
    identity = tmp_path_factory.mktemp("client") / "identity"
    plain: dict[bool, bytes] = {}
    sessions: set[bytes] = set()
    async with AsyncExitStack() as stack:
        hosts = stack.enter_context(run_hosts(tiny_model, ["1:3", "3:5"]))
        proxies = [await stack.enter_async_context(recording(host.address)) for host in hosts]
        contacts = [
            Contact(peer=host.peer_id, address=proxy.address)
            for proxy, host in zip(proxies, hosts, strict=True)
        ]
        for private_ends in (False, True):
            said = bytearray()
            with pytest.MonkeyPatch.context() as patch:
                _record(patch, said)
                async with asking.client(
                    tiny_model, contacts, identity, private_ends=private_ends, max_tokens=32
                ) as client:
                    for _ in range(2):
                        await client.reset()
                        async for event in client.ask(PROMPT):
                            if isinstance(event, Finished):
                                finished = event
                        chain = client.session._chain
                        assert chain is not None
                        sessions |= {session.raw for session in chain.sessions}
                    ids = [*client.session.held, client.session.answered[-1]]
                    prompt = len(ids) - len(client.session.answered)
                    model = client.model_id
            plain[private_ends] = bytes(said)
        links = sum(proxy.connections for proxy in proxies)
    assert len(ids) - prompt >= 24, "an answer long enough to be recognised"
    secrets = {
        **_text("prompt", PROMPT),
        **_text("answer", finished.text),
        **_ids("ids", ids),
        **_hidden(tiny_model, ids, prompt),
        "model id": _windows([model.digest, str(model).encode()], WINDOW_BYTES),
        "peer ids": _windows([host.peer_id.raw for host in hosts], WINDOW_BYTES),
        "session ids": sessions,
        "field names": {b"position", b"sampling", b"upstream", b"delivery"},
        "agent": {b"lamella/", b"lamella-"},
    }
    assert all(len({len(window) for window in windows}) == 1 for windows in secrets.values())
    wire = [bytes(stream) for proxy in proxies for stream in proxy.streams]
    yield Conversation(wire, plain, secrets, links)


async def test_every_link_was_recorded(conversation: Conversation) -> None:
    assert conversation.links == 5, "two clients to both hosts, and the first host to the second"
    for stream in conversation.wire:
        assert len(stream) > 200, "a handshake at least"


async def test_nothing_on_the_wire_gives_the_conversation_away(conversation: Conversation) -> None:
    for stream in conversation.wire:
        assert not found(stream, conversation.secrets)


async def test_nothing_on_the_wire_is_ever_the_same(conversation: Conversation) -> None:
    """The same question four times, the same fields in every message: yet no sixteen bytes come twice."""
    seen: set[bytes] = set()
    for stream in conversation.wire:
        windows = _windows([stream], WINDOW_BYTES)
        assert len(windows) == len(stream) - WINDOW_BYTES + 1
        assert not seen & windows
        seen |= windows


@pytest.mark.parametrize("private_ends", [False, True])
async def test_the_detector_finds_what_the_client_really_said(
    conversation: Conversation, private_ends: bool
) -> None:
    """The plaintext of the client's links holds what the protocol sends, or the tests above would prove nothing."""
    plain = conversation.plain[private_ends]
    expected = {"hidden states before layer 1", "model id", "peer ids", "session ids", "field names", "agent"}
    if private_ends:
        expected |= {f"hidden states before layer {LAYERS}"}
    assert found(plain, conversation.secrets) == expected, "and text never travels"
    assert len(_windows([plain], WINDOW_BYTES)) < len(plain) - WINDOW_BYTES + 1


async def test_the_detector_finds_each_secret_wherever_it_stands(conversation: Conversation) -> None:
    """A tenth of a real stream with one window of one secret somewhere in it."""
    noise = conversation.wire[0][: len(conversation.wire[0]) // 10]
    for name, windows in conversation.secrets.items():
        for at, window in enumerate(sorted(windows)[:: max(1, len(windows) // 3)]):
            assert found(noise[:at] + window + noise[at:], {name: windows}) == {name}


# The detector.


def found(stream: bytes, secrets: Secrets) -> set[str]:
    """The names of the secrets of which `stream` holds any window, at any offset."""
    sizes = {name: len(next(iter(windows))) for name, windows in secrets.items()}
    here = {size: _windows([stream], size) for size in set(sizes.values())}
    return {name for name, windows in secrets.items() if not windows.isdisjoint(here[sizes[name]])}


def _windows(streams: Iterable[bytes], size: int, step: int = 1) -> set[bytes]:
    return {stream[at : at + size] for stream in streams for at in range(0, len(stream) - size + 1, step)}


def _text(name: str, text: str) -> Secrets:
    """Ten bytes in UTF-8, or five characters in UTF-16, are a word and more."""
    return {
        f"{name} in {encoding}": _windows([text.encode(encoding)], 10)
        for encoding in ("utf-8", "utf-16-le", "utf-16-be")
    }


def _ids(name: str, ids: list[int]) -> Secrets:
    """Six tokens in a row, as arrays of integers or as CBOR."""
    runs = [ids[at : at + 6] for at in range(len(ids) - 5)]
    secrets = {
        f"{name} as {order} {size * 8}-bit integers": {
            b"".join(one.to_bytes(size, order) for one in run) for run in runs
        }
        for size in (2, 4, 8)
        for order in ("little", "big")
    }
    items = [b"".join(dumps(one) for one in run) for run in runs]
    return {**secrets, f"{name} as CBOR": _windows(items, min(map(len, items)))}


def _hidden(model: Path, ids: list[int], prompt: int) -> Secrets:
    crossed = whole.boundaries(model, CUTS, ids, prompt)
    return {
        f"hidden states before layer {cut}": _windows(steps, WINDOW_BYTES, step=4)
        for cut, steps in crossed.items()
    }


def _record(patch: pytest.MonkeyPatch, plain: bytearray) -> None:
    """Keep a copy of every message this process encodes or decodes."""
    encode, decode = codec.encode, codec.decode

    def encoding(message: Message) -> tuple[bytes, Body]:
        header, body = encode(message)
        plain.extend(header + bytes(body))
        return header, body

    def decoding(header: bytes | memoryview, body: Body) -> Message:
        plain.extend(bytes(header) + bytes(body))
        return decode(header, body)

    patch.setattr(codec, "encode", encoding)
    patch.setattr(codec, "decode", decoding)
