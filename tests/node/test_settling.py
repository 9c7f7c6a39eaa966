from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.identity import Identity
from node.config import NodeConfig, SliceRequest
from node.discovery.errors import OtherNetwork
from node.discovery.join_string import make_join_string
from node.errors import ConfigError, UnknownKey
from node.settling import settle
from wire.contacts import Contact
from wire.types import Address, LayerRange

PEER = Identity.from_seed(bytes(32)).peer_id
CONTACT = Contact(peer=PEER, address=Address("192.0.2.7", 7311))
ONE = {"LAMELLA_NODE_MODEL": "a"}


def said(
    tmp_path: Path, file: str = "", flags: Mapping[str, object] | None = None, **variables: str
) -> NodeConfig:
    path = tmp_path / "node.toml"
    path.write_text(file)
    return settle(flags or {}, ONE | variables, path, required=True)


@given(
    file=st.none() | st.integers(1, 9),
    shared=st.none() | st.integers(1, 9),
    own=st.none() | st.integers(1, 9),
    flag=st.none() | st.integers(1, 9),
)
def test_what_is_said_last_holds(
    tmp_path_factory: pytest.TempPathFactory, file: int, shared: int, own: int, flag: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "order.toml"
    path.write_text("" if file is None else f"disk = {file}")
    environment = {"LAMELLA_DISK": shared, "LAMELLA_NODE_DISK": own}
    found = settle(
        {} if flag is None else {"disk": str(flag)},
        ONE | {name: str(value) for name, value in environment.items() if value is not None},
        path,
    )
    order = [one for one in (flag, own, shared, file) if one is not None]
    assert found.disk_bytes == (order[0] if order else None)


def test_a_whole_file_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text(
        f"""
        listen = ["127.0.0.1:1", "[::1]:2"]
        peers = "{PEER}@127.0.0.1:3"
        kv-memory = "1G"
        upload_rate = 100_000
        share = false
        control = "/run/mine.sock"
        metrics = "127.0.0.1:9311"
        log-level = "debug"
        lan = false
        grace = 1.5

        [[slice]]
        model = "a"
        layers = ["0:6", "8:12"]
        [[slice]]
        model = "b"
        layers = "1:2"
        [[slice]]
        model = "c"
        """
    )
    assert settle({}, {}, path) == NodeConfig(
        slices=(
            SliceRequest("a", LayerRange(0, 6)),
            SliceRequest("a", LayerRange(8, 12)),
            SliceRequest("b", LayerRange(1, 2)),
            SliceRequest("c", None),
        ),
        listen=(Address("127.0.0.1", 1), Address("::1", 2)),
        peers=(Contact(peer=PEER, address=Address("127.0.0.1", 3)),),
        kv_bytes=1 << 30,
        upload_bytes_per_s=100_000,
        shares=False,
        control=Path("/run/mine.sock"),
        metrics=Address("127.0.0.1", 9311),
        log_level="debug",
        lan=False,
        grace_s=1.5,
    )


def test_slices_of_one_place_are_instead_of_those_of_another(tmp_path: Path) -> None:
    file = "[[slice]]\nmodel = 'file'"
    found = said(tmp_path, file, LAMELLA_NODE_MODEL="b", LAMELLA_NODE_LAYERS="0:6, 8:9")
    assert [str(one) for one in found.slices] == ["b 0:6", "b 8:9"]
    flag = (SliceRequest("flag", None),)
    assert said(tmp_path, file, {"slice": flag}, LAMELLA_NODE_MODEL="b").slices == flag


def test_an_empty_variable_says_nothing(tmp_path: Path) -> None:
    assert said(tmp_path, "nice = 3", LAMELLA_NODE_NICE="").nice == 3


def test_variables_of_other_programs_are_none_of_ours(tmp_path: Path) -> None:
    found = said(tmp_path, LAMELLA_THREADS="9", LAMELLA_MODEL="x", LAMELLA_NONSENSE="x", PATH="/bin")
    assert found == NodeConfig(slices=(SliceRequest("a", None),))


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("dsik = 1", "there is no key 'dsik'; did you mean 'disk'?"),
        ("peer = []", "there is no key 'peer'; did you mean 'peers'?"),
        ("slices = []", "there is no key 'slices'; did you mean 'slice'?"),
        ("xyz = 1", "there is no key 'xyz'; `lamella-node --help` lists what there is"),
        ("model = 'a'", "there is no key 'model'; a model to serve stands below [[slice]]"),
        ("[disk]\nquota = 1", "disk: \"{'quota': 1}\" is not a size"),
        ("[[slice]]\nmodel = 'a'\ndisk = 1", "[[slice]] 1: a slice has no key 'disk'; write it above the first"),
        ("[[slice]]\nmodle = 'a'", "[[slice]] 1: a slice has no key 'modle'; did you mean 'model'?"),
        ("[[slice]]\nmodel = 'a'\n[[slice]]\nlayers = '0:1'", "[[slice]] 2 names no model; write model ="),
        ("[[slice]]\nmodel = 'a'\nlayers = ['6:6']", "[[slice]] 1: layers: 6:6 holds no layer"),
        ("[[slice]]\nmodel = 'a'\nlayers = [6, 12]", "[[slice]] 1: layers must be a list of texts, not [6, 12]"),
        ("[slice]\nmodel = 'a'", "slice must be a table; write it as [[slice]]"),
        ("slice = ['a']", "slice must be a table; write it as [[slice]]"),
        ("threads = 0", "node.toml: threads must be a whole number from 1 to 256, not 0"),
        ("max-sessions = 10_000", "max-sessions must be a whole number from 1 to 256, not 10000"),
        ("lan = 'maybe'", "lan must be true or false, not 'maybe'"),
        ("metrics = '192.0.2.1:1'", "metrics: 192.0.2.1:1 is open to other machines"),
        ("listen = ['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:3', '127.0.0.1:4', '127.0.0.1:5']", "at most 4 addresses"),
        ("bootstrap-key = 'abc'", "node.toml: bootstrap-key: "),
        ("memory = '1G'", "--memory is for --auto; use --kv-memory"),
        ("auto = true\n[[slice]]\nmodel = 'a'\nlayers = '0:1'", "--auto chooses the layers of one --model; leave out"),
        ("[[slice]]\nmodel = 'a'\n" * 9, "at most 8 slices"),
    ],
)  # fmt: skip
def test_what_a_file_says_wrongly_is_told_with_the_next_step(
    tmp_path: Path, file: str, sentence: str
) -> None:
    path = tmp_path / "node.toml"
    path.write_text(file)
    with pytest.raises(ConfigError) as caught:
        settle({} if "slice" in file else {"slice": (SliceRequest("a", None),)}, {}, path)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"LAMELLA_NODE_DSIK": "1"}, "no variable LAMELLA_NODE_DSIK; did you mean 'LAMELLA_NODE_DISK'?"),
        ({"LAMELLA_NODE_": "1"}, "there is no variable LAMELLA_NODE_; "),
        ({"LAMELLA_NODE_GRACE": "soon"}, "LAMELLA_NODE_GRACE must be a number from 0 to 86400, not 'soon'"),
        ({"LAMELLA_DISK": "much"}, "LAMELLA_DISK: 'much' is not a size"),
        ({"LAMELLA_NODE_MODEL": "", "LAMELLA_NODE_LAYERS": "0:1"}, "LAMELLA_NODE_LAYERS belongs to LAMELLA_NODE_MODEL"),
        (
            {"LAMELLA_NODE_MODEL": "", "LAMELLA_NODE_CONTROL": "off"},
            "nothing to serve, and no control socket to be told so later; give --model pocket",
        ),
    ],
)  # fmt: skip
def test_what_a_variable_says_wrongly_is_told_by_its_name(
    tmp_path: Path, variables: dict[str, str], sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        settle({}, ONE | variables, tmp_path / "none.toml")
    assert sentence in str(caught.value)


@pytest.mark.parametrize("words", [{}, {"relay": True}, {"relay": True, "control": "off"}])
def test_a_host_that_can_be_told_later_or_relays_needs_nothing_to_serve(
    tmp_path: Path, words: dict[str, object]
) -> None:
    assert settle(words, {}, tmp_path / "none.toml").slices == ()


def test_a_host_that_is_to_choose_is_told_of_what(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--auto chooses the layers of one --model; name it"):
        settle({"auto": True, "relay": True}, {}, tmp_path / "none.toml")


def test_an_unknown_name_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(UnknownKey):
        said(tmp_path, "xyz = 1")
    with pytest.raises(UnknownKey):
        said(tmp_path, LAMELLA_NODE_XYZ="1")


def test_a_join_string_and_a_network_may_stand_in_different_places(tmp_path: Path) -> None:
    text = make_join_string("club", [CONTACT])
    found = said(tmp_path, f"join = '{text}'", LAMELLA_NETWORK="club")
    assert (found.network, found.invited) == ("club", (CONTACT,))
    with pytest.raises(OtherNetwork):
        said(tmp_path, f"join = '{text}'", LAMELLA_NODE_NETWORK="other")


def test_a_value_that_is_to_stay_secret_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        said(tmp_path, 'network = "secret\\u0007"')
    assert "secret" not in str(caught.value)
