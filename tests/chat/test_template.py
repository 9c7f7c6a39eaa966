from __future__ import annotations

import pytest

from chat.errors import ModelError
from chat.template import PLAIN_TEMPLATE, ChatTemplate, Message

HI = (Message("user", "hi <b>&</b>"),)


def render(source: str, *messages: Message, prompt: bool = False) -> str:
    return ChatTemplate(source, {"bos_token": "<s>"}).render(messages or HI, add_generation_prompt=prompt)


def test_blocks_leave_no_white_space_behind() -> None:
    source = "{% for m in messages %}\n    {% if true %}\n{{ m.role }}\n    {% endif %}\n{% endfor %}"
    assert render(source) == "user\n"


def test_text_is_not_escaped_for_html() -> None:
    assert render("{{ messages[0].content }}{{ messages[0] | tojson }}") == (
        'hi <b>&</b>{"role": "user", "content": "hi <b>&</b>"}'
    )


def test_named_tokens_and_the_generation_prompt_are_there() -> None:
    source = "{{ bos_token }}{% if add_generation_prompt %}go{% endif %}{{ tools is none }}"
    assert render(source, prompt=True) == "<s>goTrue"
    assert render(source) == "<s>True"


def test_loops_can_be_left_and_generation_blocks_are_rendered() -> None:
    source = "{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}"
    assert render(source) == "01"
    assert render("a{% generation %}b{% endgeneration %}c") == "abc"


def test_namespaces_and_dicts_can_be_made() -> None:
    assert render("{% set ns = namespace(a=1) %}{% set ns.b = 2 %}{{ ns.a + ns.b }}{{ dict(c=3).c }}") == "33"


def test_the_date_can_be_asked_for() -> None:
    assert len(render("{{ strftime_now('%Y') }}")) == 4


def test_what_a_template_refuses_is_told_in_its_words() -> None:
    with pytest.raises(ModelError, match="refuses this conversation: no system here"):
        render("{{ raise_exception('no system here') }}")


@pytest.mark.parametrize("source", ["{{ 1 / 0 }}", "{{ 'a' + 1 }}", "{{ messages[0].content.nothing.more }}"])
def test_a_template_that_fails_is_a_models_error(source: str) -> None:
    with pytest.raises(ModelError, match="chat template"):
        render(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ strftime_now.__globals__['json'] }}",
        "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
        "{{ namespace(_x=1) }}",
    ],
)
def test_a_template_cannot_leave_its_sandbox(source: str) -> None:
    with pytest.raises(ModelError):
        render(source)


def test_what_is_not_a_template_is_refused_at_once() -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        ChatTemplate("{% if %}", {})


def test_the_plain_template_puts_lines_between_turns() -> None:
    talk = (Message("user", "one"), Message("assistant", " two"), Message("user", "three"))
    assert render(PLAIN_TEMPLATE, *talk) == "<s>one two\nthree"
