from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat.conversation import Conversation
from chat.errors import ModelError, PromptTooLong
from chat.template import Message
from chat.tokenizer import Tokenizer
from tests.fakes.chat_folder import CHATML, FORGETTING, TRIMMING, byte_level, sentence_piece

KINDS: dict[str, tuple[Callable[[Path, str | None], Path], str | None]] = {
    "byte-level": (byte_level, CHATML),
    "sentence-piece": (sentence_piece, CHATML),
    "trimming": (byte_level, TRIMMING),
    "plain": (byte_level, None),
}


@pytest.fixture(scope="module", params=list(KINDS))
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    write, template = KINDS[request.param]
    return Tokenizer.load(write(tmp_path_factory.mktemp("model"), template))


@pytest.fixture(scope="module")
def chatml(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.load(byte_level(tmp_path_factory.mktemp("model"), CHATML))


def letter_by_letter(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids that decode to `text` but that no tokenizer would choose: what sampling can give."""
    return [token for letter in text for token in tokenizer.encode(letter, follows=True)]


def test_the_first_prompt_is_the_rendered_conversation(chatml: Tokenizer) -> None:
    plan = Conversation(chatml, "Be brief.").begin("What is 12 plus 30?")
    text = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat is 12 plus 30?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert list(plan.ids) == chatml.encode(text)
    assert plan.reuse == 0


def test_turn_two_sends_only_what_comes_after_the_first_answer(tokenizer: Tokenizer) -> None:
    talk = Conversation(tokenizer)
    first = talk.begin("What is the capital of France?")
    answer = letter_by_letter(tokenizer, "It is Paris. ")
    talk.answered(answer)
    second = talk.begin("And what is 12 plus 30?")
    assert second.ids[: second.reuse] == (*first.ids, *answer)
    assert "12 plus 30" in tokenizer.decode(second.ids[second.reuse :])


def test_the_new_tokens_of_turn_two_are_those_of_the_template(chatml: Tokenizer) -> None:
    talk = Conversation(chatml)
    talk.begin("hi")
    talk.answered(letter_by_letter(chatml, "hello"))
    plan = talk.begin("bye")
    assert list(plan.ids[plan.reuse :]) == chatml.encode(
        "<|im_end|>\n<|im_start|>user\nbye<|im_end|>\n<|im_start|>assistant\n"
    )


def test_an_answer_as_the_tokenizer_writes_it_gives_the_ids_of_the_whole_text(chatml: Tokenizer) -> None:
    talk = Conversation(chatml)
    talk.begin("hi")
    talk.answered(chatml.encode("Paris is the capital."))
    plan = talk.begin("bye")
    messages = [*talk.messages, Message("user", "bye")]
    assert list(plan.ids) == chatml.encode(chatml.render(messages, add_generation_prompt=True))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.text(max_size=8), st.lists(st.integers(3, 300), min_size=1, max_size=6)), max_size=4
    )
)
def test_every_turn_begins_with_all_that_was_said_before(
    chatml: Tokenizer, turns: list[tuple[str, list[int]]]
) -> None:
    talk = Conversation(chatml)
    held: tuple[int, ...] = ()
    for question, answer in turns:
        plan = talk.begin(question)
        assert plan.ids[: len(held)] == held
        assert plan.reuse == len(held)
        talk.answered(answer)
        held = (*plan.ids, *answer)


def test_a_cancelled_answer_keeps_what_was_said(chatml: Tokenizer) -> None:
    talk = Conversation(chatml)
    first = talk.begin("Tell me a story.")
    said = chatml.encode("The quick bro")
    talk.answered(said)
    assert talk.messages[-1] == Message("assistant", "The quick bro")
    assert talk.begin("Go on.").reuse == len(first.ids) + len(said)


def test_a_question_without_an_answer_is_forgotten(chatml: Tokenizer) -> None:
    talk = Conversation(chatml)
    first = talk.begin("hi")
    talk.answered(chatml.encode("hello"))
    talk.begin("lost")
    talk.answered([])
    assert [message.content for message in talk.messages] == ["hi", "hello"]
    assert talk.begin("again").reuse == len(first.ids) + len(chatml.encode("hello"))
    assert "lost" not in chatml.decode(talk.begin("again").ids)


def test_an_answer_that_comes_without_a_question_is_ignored(chatml: Tokenizer) -> None:
    talk = Conversation(chatml)
    talk.answered([5, 6])
    assert talk.messages == []


def test_an_answer_that_says_control_tokens_stays_text(chatml: Tokenizer) -> None:
    talk = Conversation(chatml)
    first = talk.begin("hi")
    answer = letter_by_letter(chatml, "<|im_end|>")
    talk.answered(answer)
    assert talk.begin("bye").reuse == len(first.ids) + len(answer)


def test_thoughts_that_a_template_leaves_out_cost_only_what_follows_them(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(byte_level(tmp_path, FORGETTING))
    talk = Conversation(tokenizer)
    first = talk.begin("What is 12 plus 30?")
    talk.answered(tokenizer.encode("<think>12 and 30</think>\n\nIt is 42."))
    plan = talk.begin("Sure?")
    messages = [*talk.messages, Message("user", "Sure?")]
    assert list(plan.ids) == tokenizer.encode(tokenizer.render(messages, add_generation_prompt=True))
    assert "12 and 30" not in tokenizer.decode(plan.ids)
    assert plan.reuse == len(first.ids)


def test_the_turn_after_thoughts_were_left_out_reuses_the_shortened_conversation(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(byte_level(tmp_path, FORGETTING))
    talk = Conversation(tokenizer)
    talk.begin("one")
    talk.answered(tokenizer.encode("<think>hm</think>\n\nfirst"))
    second = talk.begin("two")
    answer = letter_by_letter(tokenizer, "second")
    talk.answered(answer)
    assert talk.begin("three").reuse == len(second.ids) + len(answer)


def test_a_question_too_long_is_refused_with_counts_and_leaves_the_conversation_as_it_was(
    chatml: Tokenizer,
) -> None:
    talk = Conversation(chatml, context=40)
    with pytest.raises(
        PromptTooLong, match=r"The question is \d+ tokens long and 39 fit\. Ask something shorter or"
    ) as e:
        talk.begin("word " * 100)
    assert (e.value.limit, e.value.tokens > 39) == (39, True)
    talk.begin("hi")
    talk.answered(chatml.encode("hello"))
    with pytest.raises(PromptTooLong, match=r"With this question the conversation is .* Start a new one"):
        talk.begin("word " * 20)
    assert len(talk.messages) == 2


def test_a_prompt_that_leaves_one_position_is_allowed_and_one_longer_is_not(chatml: Tokenizer) -> None:
    length = len(Conversation(chatml).begin("hi").ids)
    assert len(Conversation(chatml, context=length + 1).begin("hi").ids) == length
    with pytest.raises(PromptTooLong):
        Conversation(chatml, context=length).begin("hi")


def test_a_system_message_the_template_refuses_is_a_models_error(tmp_path: Path) -> None:
    source = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    tokenizer = Tokenizer.load(byte_level(tmp_path, source))
    with pytest.raises(ModelError, match="System role not supported"):
        Conversation(tokenizer, "Be brief.").begin("hi")
