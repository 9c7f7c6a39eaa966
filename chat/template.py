"""A model's chat template: messages to the text the model was trained on.

A template is code that came with a checkpoint. It runs in jinja2's immutable sandbox, with exactly the helpers and
settings of transformers, so that both render the same text; nothing but plain strings is handed to it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NoReturn

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.utils
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from chat.errors import ModelError

PLAIN_TEMPLATE: Final = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role != 'assistant' and not loop.first %}{{ '\\n' }}{% endif %}{{ message.content }}"
    "{% endfor %}"
)
"""For a model without a template, which is one that continues text: the messages as they are."""

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


class ChatTemplate:
    """A compiled chat template."""

    def __init__(self, source: str, variables: Mapping[str, str]) -> None:
        """Compile `source`.

        Args:
            variables: Names the template may use, such as `bos_token`.

        Raises:
            ModelError: `source` is not a template.
        """
        self.source = source
        self._variables = dict(variables)
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = _strftime_now
        environment.globals["dict"] = _new_dict
        environment.globals["namespace"] = _Namespace
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise ModelError(f"The model's chat template cannot be read: {error}.") from error

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        """Return the text of `messages`, up to where the assistant begins when `add_generation_prompt`.

        Raises:
            ModelError: The template refuses these messages or fails.
        """
        plain = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return self._template.render(
                messages=plain,
                tools=None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self._variables,
            )
        except jinja2.TemplateError as error:
            raise ModelError(f"The model's chat template refuses this conversation: {error}.") from error
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise ModelError(f"The model's chat template fails: {error}.") from error


class _Generation(jinja2.ext.Extension):
    """Accepts `{% generation %}` blocks, which mark what a model is trained to say, and renders what is in them."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's own attribute, declared there as an instance variable

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Namespace(jinja2.utils.Namespace):
    """A namespace on which a template cannot store names that Python itself reads."""

    def __init__(self, /, *args: object, **values: object) -> None:
        stored = dict(*args, **values)
        for name in stored:
            _check_name(name)
        super().__init__(stored)

    def __setitem__(self, name: str, value: object) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: str) -> None:
    if name.startswith("_"):
        raise SecurityError(f"{name!r} cannot be stored on a namespace")


def _new_dict(*args: object, **values: object) -> dict[str, object]:
    """Stand in for the type `dict`, whose attributes a template has no business with."""
    return dict(*args, **values)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja2's own filter escapes for HTML; templates mean JSON."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)
