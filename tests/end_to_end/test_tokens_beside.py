"""A model whose layers need the tokens themselves, over two hosts: the whole model's answers, and only with consent."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from chat.errors import ChainBroken, TokensNotAllowed, UsageError
from chat.event_json import event_json
from chat.events import Planned
from scripts.family_proof import build_whole
from tests.end_to_end.conftest import Reference, Swarm
from tests.fakes import asking, chat_folder

PROMPT = [3, 17, 40, 99, 120, 5, 64, 200, 31, 7, 12]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gemma3n of five layers: four streams of hidden states, and keys that the last layer shares with the third."""
    folder = tmp_path_factory.mktemp("models") / "tiny-gemma3n"
    torch.manual_seed(0)
    build_whole("gemma3n_text", folder, vocab_size=512, vocab_size_per_layer_input=500)
    return chat_folder.byte_level(folder)


async def test_answers_are_the_whole_models_over_steps_cuts_and_turns(
    model: Path, swarm: Swarm, whole_model_tokens: Reference, tmp_path: Path
) -> None:
    with swarm(model, ["1:2", "2:5"]) as contacts:
        options = {"front_layers": 1, "allow_tokens": True}
        async with asking.client(model, contacts, tmp_path / "identity", **options) as client:
            long = PROMPT * 20
            assert await asking.tokens(client.session, long, 24) == whole_model_tokens(model, long, 24)
            # Another prompt that begins alike: every hop is cut back and goes on.
            other = [*long[:90], 9, 8, 7]
            assert await asking.tokens(client.session, other, 24) == whole_model_tokens(model, other, 24)
            chain = await client.session.prepare_chain()
            assert [hop.sees_tokens for hop in chain.spec.route.hops] == [True, True]
            said = event_json(Planned(route=chain.spec.route))
            # Plain JSON.
            assert [hop["sees_tokens"] for hop in said["hops"]] == [True, True]  # type: ignore[attr-defined]


async def test_tokens_go_no_further_than_the_layers_that_choose_experts_by_them(
    swarm: Swarm, whole_model_tokens: Reference, tmp_path: Path
) -> None:
    folder = tmp_path / "tiny-deepseek"
    # Room for all keys in the index: of equal scores, which are many in a tiny model, it might choose others.
    build_whole("deepseek_v4", folder, vocab_size=512, index_topk=128)
    chat_folder.byte_level(folder)
    with swarm(folder, ["1:3", "3:5"]) as contacts:
        options = {"front_layers": 1, "allow_tokens": True}
        async with asking.client(folder, contacts, tmp_path / "identity", **options) as client:
            for prompt in (PROMPT * 9, PROMPT[::-1]):
                expected = whole_model_tokens(folder, prompt, 16)
                assert await asking.tokens(client.session, prompt, 16) == expected
            chain = await client.session.prepare_chain()
            assert [hop.sees_tokens for hop in chain.spec.route.hops] == [True, False]


async def test_nothing_is_sent_without_consent_and_ends_are_not_called_private(
    model: Path, swarm: Swarm, tmp_path: Path
) -> None:
    with swarm(model, ["0:5"]) as contacts:
        with pytest.raises(TokensNotAllowed, match=r"see the text in plain.*--allow-tokens"):
            async with asking.client(model, contacts, tmp_path / "identity"):
                pass
        with pytest.raises(UsageError, match="no ends can be private"):
            async with asking.client(
                model, contacts, tmp_path / "identity", allow_tokens=True, private_ends=True
            ):
                pass
        with pytest.raises(UsageError, match=r"layers 2:5 share keys.*keep 2 layers here"):
            async with asking.client(
                model, contacts, tmp_path / "identity", allow_tokens=True, front_layers=3
            ):
                pass


async def test_a_host_ends_a_session_whose_steps_lack_their_tokens(
    model: Path, swarm: Swarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with swarm(model, ["0:5"]) as contacts:
        async with asking.client(
            model, contacts, tmp_path / "identity", allow_tokens=True, front_layers=0
        ) as client:
            chain = await client.session.prepare_chain()
            send = chain.send

            async def mute(*values: object, ids: tuple[int, ...] = (), **named: object) -> None:
                # Fields by name.
                await send(*values, ids=tuple(one + 512 for one in ids), **named)  # type: ignore[arg-type]

            monkeypatch.setattr(chain, "send", mute)
            with pytest.raises(ChainBroken, match="bad_tokens"):
                await asking.tokens(client.session, PROMPT, 4)
