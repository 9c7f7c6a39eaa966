"""The registry: what a class says of itself, and what may not be registered."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from tests.fakes.message_values import DECLARATIONS
from wire import messages
from wire.fields import Maybe, UInt
from wire.messages.base import REGISTRY, Body, Declaration, Message, register
from wire.messages.forward import Forward
from wire.messages.session import Open

every_message = pytest.mark.parametrize("declaration", DECLARATIONS, ids=lambda one: one.name)


@every_message
def test_a_message_is_frozen_has_slots_and_takes_keywords_only(declaration: Declaration) -> None:
    cls: Any = declaration.cls
    assert cls.__dataclass_params__.frozen
    assert "__slots__" in vars(cls)
    assert all(one.kw_only for one in dataclasses.fields(cls))


@every_message
def test_a_message_says_who_sends_it_and_what_it_is(declaration: Declaration) -> None:
    assert declaration.sender
    assert declaration.cls.__doc__
    assert declaration.name.replace("_", "") == declaration.cls.__name__.lower()
    assert declaration.cls.declaration is declaration


@every_message
def test_an_optional_field_has_none_as_its_default(declaration: Declaration) -> None:
    cls: Any = declaration.cls
    for one in dataclasses.fields(cls):
        if isinstance(declaration.fields.get(one.name), Maybe):
            assert one.default is None


def test_ids_of_one_conversation_stand_together() -> None:
    modules = (
        messages.link,
        messages.hosting,
        messages.session,
        messages.forward,
        messages.peers,
        messages.reach,
        messages.relay,
    )
    blocks: dict[str, list[int]] = {module.__name__: [] for module in modules}
    for declaration in DECLARATIONS:
        blocks[declaration.cls.__module__].append(declaration.id)
    assert [min(ids) // 16 * 16 for ids in blocks.values()] == [0, 16, 32, 48, 64, 80, 96]
    assert all(max(ids) - min(ids) < 16 for ids in blocks.values())


def test_a_body_is_not_a_field_of_the_header() -> None:
    assert Forward.declaration.has_body
    assert "body" not in Forward.declaration.fields
    assert not Open.declaration.has_body
    assert Open.declaration.optional == {
        "next_peer",
        "next_address",
        "next_relay",
        "next_session",
        "sampling",
    }


def test_an_id_is_used_once() -> None:
    with pytest.raises(TypeError, match="used by Ping"):

        @register(2, "again", sender="nobody")
        @dataclass(frozen=True, slots=True, kw_only=True)
        class Again(Message):
            body: Body

    assert REGISTRY[2].name == "ping"


def test_a_field_without_a_wire_type_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Bare\.count has no wire field"):

        @register(65_534, "bare", sender="nobody")
        @dataclass(frozen=True, slots=True, kw_only=True)
        class Bare(Message):
            id: Annotated[int, UInt(3)]
            count: int

    assert 65_534 not in REGISTRY


def test_the_registry_cannot_be_written_from_outside() -> None:
    with pytest.raises(TypeError):
        REGISTRY[65_534] = REGISTRY[2]  # type: ignore[index]  # wrong on purpose
