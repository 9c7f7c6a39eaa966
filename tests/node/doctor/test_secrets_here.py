"""What must not be told is found where it usually is."""

from __future__ import annotations

import os
from pathlib import Path

from node import keyfile
from node.doctor import secrets_here


def test_keys_tokens_names_and_homes_are_known(tmp_path: Path) -> None:
    identity = tmp_path / "identity"
    keyfile.load_or_create(identity)
    hub = tmp_path / ".cache" / "huggingface"
    hub.mkdir(parents=True)
    (hub / "token").write_text("hf_fileToken1234567\n")
    (hub / "stored_tokens").write_text("[main]\nhf_token = hf_storedToken12345\n")
    other = tmp_path / "elsewhere"
    other.write_text("pathTokenWithoutForm\n")
    environ = {
        "HOME": str(tmp_path),
        "USER": "jane",
        "HF_TOKEN": "envTokenWithoutForm",
        "HF_TOKEN_PATH": str(other),
        "https_proxy": "http://jane:proxyPassword@proxy.example:8080",
        "PATH": "/usr/bin",
    }
    deep: object = "x"
    for _ in range(1000):
        deep = [deep]
    configured = {
        "files": {"a.toml": {"hub": {"token": "namedToken"}, "deep": deep, "keys": {"api_key": ["k1", "k2"]}}}
    }
    known = secrets_here.known(identity, environ, configured)
    assert set(known.secrets) == {
        identity.read_text().split()[-1],
        "hf_fileToken1234567",
        "hf_storedToken12345",
        "pathTokenWithoutForm",
        "envTokenWithoutForm",
        "jane:proxyPassword",
        "namedToken",
        "k1",
        "k2",
    }
    assert str(tmp_path) in known.homes
    assert {"jane", tmp_path.name} <= set(known.users)
    assert "localhost" not in known.hosts


def test_where_there_is_nothing_nothing_is_known_and_nothing_hangs(tmp_path: Path) -> None:
    pipe = tmp_path / "identity"
    os.mkfifo(pipe)
    known = secrets_here.known(pipe, {})
    assert known.secrets == ()
    assert known.homes == ()
