"""The client, and the fake that screens are tested with, are what the seam asks for."""

from __future__ import annotations

import inspect

import pytest

from chat.client import Client
from chat.driver import ClientOptions, Driver
from tests.fakes.driver import FakeDriver

VERBS = [name for name, member in vars(Driver).items() if inspect.isfunction(member) and name[0] != "_"]


@pytest.mark.parametrize("cls", [Client, FakeDriver])
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_of_the_seam_is_there_with_its_parameters(cls: type, verb: str) -> None:
    wanted = list(inspect.signature(getattr(Driver, verb)).parameters)
    assert list(inspect.signature(getattr(cls, verb)).parameters)[: len(wanted)] == wanted


def test_a_person_who_chooses_nothing_keeps_a_layer_and_draws_greedily() -> None:
    options = ClientOptions(model="pocket", contacts=())
    assert (options.front_layers, options.private_ends, options.sampling.temperature) == (1, False, 0.0)


def test_the_client_is_a_driver_to_the_type_checker() -> None:
    driver: Driver = Client(ClientOptions(model="pocket", contacts=()))
    assert driver.model_name == ""
