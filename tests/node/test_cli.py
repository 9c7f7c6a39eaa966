from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crypto.identity import Identity
from node import cli
from node.config import DEFAULT_GRACE_S, NodeConfig, SliceRequest
from node.discovery.join_string import make_join_string
from node.errors import ConfigError
from node.settings import SETTINGS
from wire import limits
from wire.contacts import Contact
from wire.types import Address, LayerRange

ROOT = Path(__file__).parents[2]
PEER = Identity.from_seed(bytes(32)).peer_id


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the configuration file would be; the environment says nothing."""
    for name in [name for name in os.environ if name.startswith("LAMELLA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    place = tmp_path / "lamella"
    place.mkdir()
    return place


def slices(*words: str) -> list[tuple[str, str | None]]:
    """What is served by these words."""
    return [(one.model, None if one.layers is None else str(one.layers)) for one in cli.parse(words).slices]


def test_all_words_are_heard() -> None:
    words = (
        "--model pocket --layers 6:12 --listen [::1]:7311 --listen 127.0.0.1:1 --identity key --network club "
        "--dtype float32 --threads 3 --device cuda:1 --kv-memory 512M --share 127.0.0.1:3 --disk 20G "
        f"--peer 127.0.0.1:1 --peer {PEER}@[::1]:2 --no-lan --unlisted --no-map --relay --bootstrap list "
        f"--bootstrap-key {bytes(32).hex()} --download-rate 10M --upload-rate 2M --offline --grace 1.5 --json "
        "--control sock --metrics 127.0.0.1:9311 --log human --log-level debug --nice 5 --max-sessions 8 "
        "--max-sessions-per-peer 2 --tokens-per-peer 50000"
    )
    assert cli.parse(words.split()) == NodeConfig(
        slices=(SliceRequest("pocket", LayerRange(6, 12)),),
        listen=(Address("::1", 7311), Address("127.0.0.1", 1)),
        identity_file=Path("key"),
        network="club",
        dtype="float32",
        threads=3,
        device="cuda:1",
        kv_bytes=512 << 20,
        peers=(Contact(address=Address("127.0.0.1", 1)), Contact(peer=PEER, address=Address("::1", 2))),
        share=Address("127.0.0.1", 3),
        disk_bytes=20 << 30,
        download_bytes_per_s=10 << 20,
        upload_bytes_per_s=2 << 20,
        lan=False,
        listed=False,
        maps=False,
        relay=True,
        bootstrap=Path("list"),
        signer=bytes(32),
        offline=True,
        grace_s=1.5,
        json=True,
        control=Path("sock"),
        metrics=Address("127.0.0.1", 9311),
        log="human",
        log_level="debug",
        nice=5,
        max_sessions=8,
        max_sessions_per_peer=2,
        tokens_per_peer=50_000,
    )


def test_a_join_string_names_network_and_contacts() -> None:
    contact = Contact(peer=PEER, address=Address("192.0.2.7", 7311))
    text = make_join_string("club", [contact])
    found = cli.parse(["--model", "pocket", "--join", text])
    assert (found.network, found.invited) == ("club", (contact,))
    assert cli.parse(["--model", "pocket", "--join", text, "--network", "club"]).network == "club"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--join", "lamella:abc"], "copy it whole"),
        (
            [
                "--join",
                make_join_string("club", [Contact(address=Address("192.0.2.7", 1))]),
                "--network",
                "x",
            ],
            "'club'",
        ),
        (["--bootstrap-key", "abc"], "64 hexadecimal digits"),
        (["--peer", "0.0.0.0:7311"], "nobody can be reached"),
        (["--peer", "example.org:7311"], "not an IP address"),
        (["--listen", "127.0.0.1:1"] * 5, "at most 4 addresses"),
    ],
)
def test_roads_that_lead_nowhere_are_told(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.parse(["--model", "pocket", *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_what_is_not_said_has_a_default() -> None:
    assert cli.parse(["--model", "pocket"]) == NodeConfig(slices=(SliceRequest("pocket", None),))
    config = cli.parse(["--model", "pocket"])
    assert (config.kv_bytes, config.grace_s, config.network) == (None, DEFAULT_GRACE_S, "main")
    assert config.device == "cpu"
    assert (config.peers, config.share, config.shares, config.offline) == ((), None, True, False)


def test_a_host_can_be_told_to_give_nothing() -> None:
    config = cli.parse("--model a --share off".split())
    assert (config.share, config.shares) == (None, False)


def test_names_of_a_hub_and_ids_are_models_too() -> None:
    assert slices("--model", "hf:org/name@v1", "--layers", "0:6", "--model", "b" + "a" * 58) == [
        ("hf:org/name@v1", "0:6"),
        ("b" + "a" * 58, None),
    ]


def test_layers_belong_to_the_model_before_them() -> None:
    words = "--model a --layers 0:6 --layers 12:18 --model b --model c --layers 4:8"
    assert slices(*words.split()) == [("a", "0:6"), ("a", "12:18"), ("b", None), ("c", "4:8")]


def test_two_parsings_do_not_share_what_they_heard() -> None:
    assert slices("--model", "a") == [("a", None)]
    assert slices("--model", "b") == [("b", None)]


def test_as_many_slices_as_a_host_may_name_and_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    most = limits.MAX_SLICES_PER_PEER
    assert len(slices(*["--model", "a"] * most)) == most
    with pytest.raises(SystemExit):
        cli.parse(["--model", "a"] * (most + 1))
    assert f"at most {most} slices" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("4K", 4096), ("512m", 512 << 20), ("1.5G", 3 << 29), ("1e3", 1000), ("2T", 2 << 40)],
)
def test_sizes_have_units(text: str, size: int) -> None:
    assert cli.parse(["--model", "a", "--kv-memory", text]).kv_bytes == size


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--control off", "nothing to serve"),
        ("--layers 6:12", "--layers comes after the --model"),
        ("--model a --layers 6-12", "write START:END, as in 6:12"),
        ("--model a --layers 6:6", "6:6 holds no layer"),
        ("--model a --layers 8:6", "8:6 are not a range"),
        ("--model a --layers 0:1025", "not a range within 0:1024"),
        ("--model a --layers -1:4", "expected one argument"),
        (f"--model a --layers 0:{'9' * 5000}", "--layers: "),
        ("--model a --listen localhost:1", "'localhost' is not an IP address"),
        ("--model a --listen 127.0.0.1", "write IP:PORT"),
        ("--model a --listen ::1:7311", "needs brackets"),
        ("--model a --listen 127.0.0.1:65536", "not between 0 and 65535"),
        (f"--model a --listen 127.0.0.1:{'9' * 5000}", "--listen"),
        ("--model a --network=", "a network name is 1 to 64"),
        (f"--model a --network {'n' * 65}", "a network name is 1 to 64"),
        ("--model a --network a\x07", "printable characters"),
        ("--model a --dtype int8", "--dtype must be one of float32, bfloat16, float16, not 'int8'"),
        ("--model a --device gpu", "not a device; write cpu, cuda, or cuda:0"),
        ("--model a --device meta", "not a device"),
        ("--model a --threads 0", "from 1 to 256"),
        ("--model a --threads 257", "from 1 to 256"),
        ("--model a --threads ²", "from 1 to 256"),
        ("--model a --kv-memory 0", "not a size between 1 byte and 1 PB"),
        ("--model a --kv-memory 1024T", "not a size between 1 byte and 1 PB"),
        ("--model a --kv-memory=-1G", "not a size between"),
        ("--model a --kv-memory infG", "not a size; write 512M or 4G"),
        ("--model a --kv-memory nanK", "not a size; write"),
        ("--model a --kv-memory 5MB", "not a size; write"),
        ("--model a --kv-memory G", "not a size; write"),
        ("--model a --kv-memory=", "not a size; write"),
        ("--model a --peer host", "--peer"),
        ("--model a --share on", "write IP:PORT"),
        ("--model a --disk 0", "not a size between 1 byte and 1 PB"),
        ("--model a --download-rate fast", "not a size; write"),
        ("--model a --upload-rate=-1", "not a size between"),
        ("--model a --upload-rate 31K", "peers give up what comes more slowly; write 32K or more"),
        ("--model a --download-rate 64K", "takes this host for dead; write 128K or more"),
        ("--model a --offline=yes", "ignored explicit argument 'yes'"),
        ("--model a --grace nan", "--grace must be a number from 0 to 86400"),
        ("--model a --grace=-1", "--grace must be a number from 0 to 86400"),
        ("--model a --grace soon", "--grace must be a number from 0 to 86400"),
        ("--model a --mod b", "unrecognized arguments: --mod b"),
        ("--model a --grce 5", "unrecognized arguments: --grce 5; did you mean --grace?"),
        ("--model a pocket", "unrecognized arguments: pocket"),
        ("--model a --max-sessions 257", "--max-sessions must be a whole number from 1 to 256"),
        ("--model a --nice -1", "--nice must be a whole number from 0 to 19"),
        ("--model a --metrics 0.0.0.0:9311", "open to other machines; write 127.0.0.1:PORT"),
        ("--model a --log xml", "--log must be one of human, json, auto"),
        ("--model a --log-level loud", "--log-level must be one of debug, info"),
        ("--model a --config /none/such.toml", "there is no configuration file /none/such.toml"),
    ],
)
def test_wrong_usage_ends_with_two_and_a_sentence(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.parse(words.split(" ") if words else [])
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert said in captured.err.replace("\n", " ")
    assert captured.out == ""


@pytest.mark.parametrize(
    ("word", "said"), [("--help", "exit codes: 0 stopped"), ("--version", "lamella-node ")]
)
def test_help_and_version_go_to_standard_output(
    word: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.parse([word])
    assert ended.value.code == 0
    assert said in capsys.readouterr().out


def test_help_comes_before_anything_that_takes_long_to_import() -> None:
    program = (
        "import sys; from node import cli\n"
        "try: cli.parse(['--help'])\n"
        "except SystemExit: print(sorted({'torch', 'asyncio', 'nacl', 'numpy', 'tomllib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("2 wrong usage\n[]\n")


def test_every_setting_has_its_words_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.parse(["--help"])
    said = capsys.readouterr().out
    assert all(flag in said for setting in SETTINGS for flag in setting.flags)


def test_flags_win_over_the_environment_and_that_over_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "node.toml").write_text("threads = 1\nnice = 1\ngrace = 1\n[[slice]]\nmodel = 'a'")
    monkeypatch.setenv("LAMELLA_NODE_NICE", "2")
    monkeypatch.setenv("LAMELLA_NODE_GRACE", "2")
    config = cli.parse(["--grace", "3"])
    assert (config.threads, config.nice, config.grace_s) == (1, 2, 3)
    assert config.slices == (SliceRequest("a", None),)


def test_a_file_that_is_named_is_read_instead_of_the_usual_one(folder: Path, tmp_path: Path) -> None:
    (folder / "node.toml").write_text("threads = 1")
    other = tmp_path / "other.toml"
    other.write_text("nice = 3")
    config = cli.parse(["--model", "a", "--config", str(other)])
    assert (config.threads, config.nice) == (None, 3)


def test_a_switch_of_the_file_can_be_turned_back_by_a_flag(folder: Path) -> None:
    (folder / "node.toml").write_text("lan = false\nlisted = false\nrelay = true\noffline = true")
    assert not cli.parse(["--model", "a"]).lan
    config = cli.parse("--model a --lan --listed --no-relay --no-offline".split())
    assert (config.lan, config.listed, config.relay, config.offline) == (True, True, False, False)


def test_a_host_without_a_control_socket_is_one_word(folder: Path) -> None:
    assert not cli.parse("--model a --control off".split()).controls
    (folder / "node.toml").write_text("control = false")
    assert not cli.parse("--model a".split()).controls


def test_a_wrong_file_ends_with_two_and_its_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "node.toml").write_text("dsik = '20G'")
    with pytest.raises(SystemExit) as ended:
        cli.parse(["--model", "a"])
    assert ended.value.code == 2
    assert "node.toml: there is no key 'dsik'; did you mean 'disk'?\n" in capsys.readouterr().err


def test_the_same_words_find_what_the_file_says_by_now(folder: Path) -> None:
    words = ["--model", "a", "--threads", "2"]
    file = folder / "node.toml"
    file.write_text("upload-rate = '1M'\nthreads = 1")
    first = cli.parse(words)
    file.write_text("upload-rate = '2M'\nthreads = 1")
    again = cli.parse_again(words)
    assert (first.upload_bytes_per_s, again.upload_bytes_per_s, again.threads) == (1 << 20, 2 << 20, 2)
    file.write_text("upload-rate = 'fast'")
    with pytest.raises(ConfigError, match="upload-rate: 'fast' is not a size"):
        cli.parse_again(words)


def test_the_command_line_is_read_before_anything_heavy_is_imported() -> None:
    program = (
        "import sys; from node import __main__, cli; cli.parse(['--model', 'a'])\n"
        "print(sorted({'torch', 'transformers', 'uvloop', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
