from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from chat.driver import ClientOptions
from chat.errors import UsageError
from chat.settings import SETTINGS, load
from crypto.identity import PeerId
from node.discovery.join_string import make_join_string
from wire.contacts import Contact
from wire.types import Address, Sampling

PEER = PeerId(bytes(range(32)))


def options(
    tmp_path: Path, *, file: str = "", flags: Mapping[str, object] | None = None, **environment: str
) -> ClientOptions:
    path = tmp_path / "config.toml"
    path.write_text(file)
    return load(flags or {}, environment, path, required=True)


def test_with_nothing_said_the_defaults_hold(tmp_path: Path) -> None:
    assert load({}, {}, tmp_path / "none.toml", required=False) == ClientOptions(
        model="pocket", contacts=(), lan=True
    )


def test_every_setting_is_a_field_of_the_options() -> None:
    fields = {field.name for kind in (ClientOptions, Sampling) for field in dataclasses.fields(kind)}
    renamed = {
        "contacts": "peers",
        "identity_file": "identity",
        "sampling": "",
        "invited": "join",
        "signer": "bootstrap_key",
    }
    assert {renamed.get(name, name) for name in fields} - {""} == {setting.name for setting in SETTINGS}


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = "model = 'a'\nnetwork = 'a'\ndtype = 'float16'\n"
    found = options(
        tmp_path, file=file, flags={"model": "c"}, LAMELLA_MODEL="b", LAMELLA_NETWORK="b", LAMELLA_SYSTEM="b"
    )
    assert (found.model, found.network, found.dtype, found.system) == ("c", "b", "float16", "b")


def test_every_setting_can_be_written_in_the_file(tmp_path: Path) -> None:
    found = options(
        tmp_path,
        file="""
            model = "/models/x"
            peers = ["127.0.0.1:7311", "[::1]:7312"]
            front_layers = 2
            private-ends = true
            temperature = 1
            top_k = 40
            top_p = 0.9
            min_p = 0.05
            seed = 7
            max_tokens = 9
            context = 100
            dtype = "bfloat16"
            system = "Be brief."
            network = "home"
            identity = "/keys/me"
            threads = 2
            disk = "20G"
            download-rate = "10M"
            offline = true
            control = "/run/mine/control.sock"
            lan = false
            bootstrap = "/lists/ours"
            bootstrap-key = "0000000000000000000000000000000000000000000000000000000000000000"
        """,
    )
    assert found == ClientOptions(
        model="/models/x",
        bootstrap=Path("/lists/ours"),
        signer=bytes(32),
        contacts=found.contacts,
        front_layers=2,
        private_ends=True,
        sampling=Sampling(temperature=1, top_k=40, top_p=0.9, min_p=0.05, seed=7),
        max_tokens=9,
        context=100,
        dtype="bfloat16",
        system="Be brief.",
        network="home",
        identity_file=Path("/keys/me"),
        threads=2,
        disk=20 << 30,
        download_rate=10 << 20,
        offline=True,
        control=Path("/run/mine/control.sock"),
    )
    assert [contact.address for contact in found.contacts] == [
        Address("127.0.0.1", 7311),
        Address("::1", 7312),
    ]


def test_a_peer_may_say_who_it_must_prove_to_be(tmp_path: Path) -> None:
    (contact,) = options(tmp_path, flags={"peers": [f"{PEER}@127.0.0.1:7311"]}).contacts
    assert (contact.peer, contact.address) == (PEER, Address("127.0.0.1", 7311))


def test_the_environment_lists_peers_between_commas_or_spaces(tmp_path: Path) -> None:
    found = options(tmp_path, LAMELLA_PEERS="127.0.0.1:1, 127.0.0.1:2 127.0.0.1:3")
    assert [contact.address.port for contact in found.contacts] == [1, 2, 3]


def test_an_empty_variable_says_nothing(tmp_path: Path) -> None:
    assert options(tmp_path, file="model = 'a'", LAMELLA_MODEL="").model == "a"


def test_draws_differ_from_time_to_time_unless_a_seed_is_given(tmp_path: Path) -> None:
    hot = {"temperature": "0.7"}
    assert options(tmp_path, flags=hot).sampling.seed != options(tmp_path, flags=hot).sampling.seed
    assert options(tmp_path, flags={**hot, "seed": "5"}).sampling.seed == 5


@pytest.mark.parametrize("word", ["1", "true", "Yes", "on"])
def test_a_switch_in_the_environment_has_the_usual_words(tmp_path: Path, word: str) -> None:
    assert options(tmp_path, LAMELLA_PRIVATE_ENDS=word).private_ends


def test_a_home_directory_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert options(tmp_path, flags={"identity": "~/key"}).identity_file == Path("/home/me/key")


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("temprature = 1", r"config\.toml: there is no setting 'temprature'; did you mean 'temperature'\?"),
        ("xyz = 1", r"config\.toml: there is no setting 'xyz'\."),
        ("[chat]\nmodel = 'x'", r"there is no setting 'chat'"),
        ("model = 3", r"config\.toml: model must be text, not 3\."),
        ("peers = [1]", r"peers must be a list of texts, not \[1\]\."),
        ("private_ends = 1", r"private_ends must be true or false, not 1\."),
        ("front_layers = 1.5", r"front_layers must be a whole number of 0 or more, not 1\.5\."),
        ("seed = -1", r"seed must be a whole number from 0 to 18446744073709551615, not -1\."),
        ("top_p = nan", r"top_p must be a number from 0 to 1, not nan\."),
        ("temperature = true", r"temperature must be a number from 0 to 100, not True\."),
        ("dtype = 'int8'", r"dtype must be one of float32, bfloat16, float16, not 'int8'\."),
        ("disk = 'much'", r"disk: 'much' is not a size; write 512M or 4G\."),
        ("disk = 0", r"disk: '0' is not a size between 1 byte and 1 PB\."),
        ("download_rate = -1", r"download_rate: '-1' is not a size between 1 byte"),
        ("offline = 1", r"offline must be true or false, not 1\."),
        ("model = ", r"config\.toml is not TOML: "),
        ("peers = ['localhost:1']", r"Peer localhost:1: 'localhost' is not an IP address\."),
        ("peers = ['me@127.0.0.1:1']", r"Peer me@127\.0\.0\.1:1: .*peer id"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(tmp_path: Path, file: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        options(tmp_path, file=file)


def test_a_wrong_value_is_named_by_the_place_it_was_written_in(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--top-k must be a whole number from 0 to 4000000, not 'many'\.$"):
        options(tmp_path, flags={"top_k": "many"})
    with pytest.raises(UsageError, match=r"^LAMELLA_THREADS must be a whole number of 1 or more, not '0'\.$"):
        options(tmp_path, LAMELLA_THREADS="0")


def test_only_a_file_that_was_asked_for_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no configuration file"):
        load({}, {}, tmp_path / "none.toml", required=True)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        load({}, {}, tmp_path / "config.toml", required=False)


def test_that_hosts_see_tokens_is_allowed_only_in_so_many_words(tmp_path: Path) -> None:
    assert not options(tmp_path).allow_tokens
    assert options(tmp_path, LAMELLA_ALLOW_TOKENS="yes").allow_tokens


def test_a_number_of_bytes_may_be_written_as_a_number(tmp_path: Path) -> None:
    assert options(tmp_path, file="disk = 1000000").disk == 1_000_000
    assert options(tmp_path, LAMELLA_DOWNLOAD_RATE="512K").download_rate == 512 << 10
    assert options(tmp_path, flags={"model": "hf:org/name@v1"}).model == "hf:org/name@v1"


CONTACT = Contact(peer=PEER, address=Address("192.0.2.7", 7311))


def test_a_join_string_names_network_and_hosts(tmp_path: Path) -> None:
    text = make_join_string("club", [CONTACT])
    found = options(tmp_path, flags={"join": text})
    assert (found.network, found.invited) == ("club", (CONTACT,))
    assert options(tmp_path, flags={"join": text}, LAMELLA_NETWORK="club").network == "club"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"join": "lamella:abc"}, "copy it whole"),
        ({"join": make_join_string("club", [CONTACT]), "network": "other"}, "is for network 'club'"),
        ({"bootstrap_key": "abc"}, "64 hexadecimal digits"),
    ],
)
def test_roads_that_lead_nowhere_are_told(tmp_path: Path, flags: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        options(tmp_path, flags=flags)
