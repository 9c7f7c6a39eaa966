"""Secrets, names and the ends of addresses go; what helps to find a fault stays."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.identity import Identity
from node.doctor.packaged import POCKET
from node.doctor.redacting import Known, Redactor, is_secret_name

SEED = "abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrst"
KNOWN = Known(secrets=(SEED, "hunter22"), homes=("/home/jane",), users=("jane",), hosts=("janes-laptop",))
REDACTOR = Redactor(KNOWN)
PEER = str(Identity.from_seed(bytes(32)).peer_id)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("/home/jane/models of jane", "~/models of user"),
        ("/home/janet/x and /Users/bob/y", "/home/user/x and /Users/user/y"),
        ("on janes-laptop", "on machine"),
        ("link to 203.0.113.77:7311", "link to 203.0.x.x:7311"),
        ("127.0.0.1:7311 and 0.0.0.0:80", "127.0.0.1:7311 and 0.0.0.0:80"),
        ("from [2001:db8:1:2::77]:7311", "from [2001:db8:x]:7311"),
        ("[::1]:7311", "[::1]:7311"),
        ("fe80::1%eth0 left", "fe80:0:x%eth0 left"),
        (f"peer {PEER} left", "peer <id> left"),
        (f"model {POCKET}", f"model {POCKET}"),
        ("hf_abcdefghijklmnopQRST", "<token>"),
        ("Authorization: Bearer abc.def-123", "Authorization: <removed> <token>"),
        ("password=hunter3 next", "password=<removed> next"),
        ('"api_key": "xyz", "a": 1', '"api_key": <removed>, "a": 1'),
        ("https://me:pw@hub.example/x?sig=abc", "https://<login>@hub.example/x?<query>"),
        ("lamella:eyJhb join", "<join string> join"),
        ("-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----", "<key>"),
        ("prompt='Why is the sky blue?'", "prompt=<text>"),
        ("asked 'tell me about my illness please' twice", "asked '<text>' twice"),
        ("opened 'a b' after 3 s; 12.5 tokens/s, tokens=7", "opened 'a b' after 3 s; 12.5 tokens/s, tokens=7"),
        *[(one, one) for one in ("in /usr/lib/python3.11/site-packages/torch/nn/modules", "/a/b-c_d/" + "e/" * 30)],
        ("a " + "Ab9/" * 12 + "==", "a <code>"),
        ("/var/" + "Ab9" * 20, "/var/<code>"),
        ("layers 6:12 serve since 10:20:30", "layers 6:12 serve since 10:20:30"),
        ("version 5.23.0 of transformers, tokenizers: 0.22", "version 5.23.0 of transformers, tokenizers: 0.22"),
    ],
)  # fmt: skip
def test_texts(given: str, shown: str) -> None:
    assert REDACTOR.text(given) == shown


def test_values_are_judged_by_their_names_as_well() -> None:
    value = {
        "hub_token": 123456,
        "nested": [{"password": "x", "prompt": "why", "ok": True, "tokens": 5}],
        "messages": [{"content": "why"}],
        "jane": {"path": "/home/jane/x"},
        "rate": 1.5,
        "none": None,
    }
    assert REDACTOR.value(value) == {
        "hub_token": "<removed>",
        "nested": [{"password": "<removed>", "prompt": "<text>", "ok": True, "tokens": 5}],
        "messages": "<text>",
        "user": {"path": "~/x"},
        "rate": 1.5,
        "none": None,
    }


def test_a_line_that_ends_with_json_is_read_value_by_value() -> None:
    record = {"level": "info", "message": "a peer came from 203.0.113.77 and was let in", "prompt": "why"}
    line = REDACTOR.line("Nov 21 lamella-node[7]: " + json.dumps(record))
    assert json.loads(line[line.index("{") :]) == {
        "level": "info", "message": "a peer came from 203.0.x.x and was let in", "prompt": "<text>"
    }  # fmt: skip
    assert REDACTOR.line("{not json /home/jane") == "{not json ~"


def test_a_secret_that_a_long_text_is_cut_in_leaves_no_beginning() -> None:
    for start in range(1940, 2005, 3):
        shown = REDACTOR.text("." * start + SEED + "." * 200)
        assert SEED[:6] not in shown


@pytest.mark.parametrize(
    "piece", [".", "a", "'x ", '"y ', "1:", "token", "text ", "{", "A+/", "://a", "-----BEGIN A-----"]
)
def test_no_text_takes_long(piece: str) -> None:
    """Security limit: a log may hold what a peer sent."""
    began = time.process_time()
    REDACTOR.text(piece * 2_000)
    assert time.process_time() - began < 1.0


def test_depth_has_a_bound() -> None:
    deep: object = "end"
    for _ in range(50):
        deep = [deep]
    assert "too deep" in json.dumps(REDACTOR.value(deep))


@given(st.text(max_size=80), st.text(max_size=80), st.sampled_from([*KNOWN.secrets, "/home/jane"]))
def test_whatever_is_around_it_a_secret_is_gone(before: str, after: str, secret: str) -> None:
    shown = REDACTOR.text(before + secret + after)
    kept = (before + after).count(secret)
    assert secret not in shown or kept or re.match(r"[\w.-]", after)
    assert not REDACTOR.leaks(shown) or kept


@given(st.ip_addresses())
def test_no_address_of_a_peer_is_left_whole(address: object) -> None:
    shown = REDACTOR.text(f"peer at {address} left")
    assert (
        str(address) not in shown
        or str(address) in {"127.0.0.1", "::1", "::", "0.0.0.0"}
        or str(address).startswith("127.")
    )


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30) | st.just(SEED),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.just(SEED), inner, max_size=3),
    max_leaves=8,
))  # fmt: skip
def test_no_value_of_json_keeps_a_secret(value: object) -> None:
    assert SEED not in json.dumps(REDACTOR.value(value), ensure_ascii=False)


def test_names_that_call_a_secret() -> None:
    assert all(
        map(is_secret_name, ("HF_TOKEN", "token", "api-key", "AWS_SECRET_ACCESS_KEY", "Password", "key"))
    )
    assert not any(map(is_secret_name, ("tokenizers", "tokens_per_s", "keyboard", "HOME", "max_tokens")))
