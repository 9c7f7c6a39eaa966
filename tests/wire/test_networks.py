"""Names of networks, and the tags that stand for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wire.errors import InvalidValue
from wire.networks import check_network, network_tag

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "specs" / "vectors" / "discovery.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("vector", VECTORS["networks"], ids=lambda one: one["name"])
def test_tags_equal_the_vectors(vector: dict[str, str]) -> None:
    assert network_tag(vector["name"]).hex() == vector["tag"]


def test_every_name_has_a_tag_of_its_own() -> None:
    tags = {network_tag(name) for name in ("main", "mai", "main ", "Main")}
    assert len(tags) == 4


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", "\x1b[31m", "\N{GRINNING FACE}" * 64, "\ud800"])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidValue, match="network name"):
        check_network(name)
    with pytest.raises(InvalidValue):
        network_tag(name)
