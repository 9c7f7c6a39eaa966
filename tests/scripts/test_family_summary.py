"""The page about families says what the table says."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from node.slices.families import FAMILIES, REFUSED, read_table
from scripts import family_summary
from scripts.family_summary import END, PAGE, START, render, summary


def test_the_page_agrees_with_the_table() -> None:
    text = PAGE.read_text()
    assert render(text, read_table()) == text
    assert all(f"`{name}`" in text for name in (*FAMILIES, *REFUSED))


def test_families_are_grouped_by_what_their_layers_keep_and_refusals_have_their_reason() -> None:
    table: dict[str, dict[str, Any]] = {
        "a": {"verdict": "exact", "state": ["full_attention"]},
        "b": {"verdict": "refused", "reason": "it is odd"},
        "c": {"verdict": "exact", "state": ["full_attention"]},
    }
    text = summary(table)
    assert "2 families are exact, 1 are refused" in text
    assert "| all keys and values | `a`, `c` |" in text
    assert "| `b` | it is odd |" in text
    assert "Sessions of 2 are computed one by one: `a`, `c`." in text


def test_how_sessions_share_forwards_is_told() -> None:
    ways = {"a": "new", "b": "joined", "c": "padded", "d": "padded", "e": ""}
    table: dict[str, dict[str, Any]] = {
        name: {"verdict": "exact", "state": ["full_attention"], "together": way} for name, way in ways.items()
    }
    text = summary(table)
    assert "Sessions of 1 share forwards with all their keys handed through the model's code: `b`." in text
    assert "Sessions of 2 share forwards as a batch, padded on the left: `c`, `d`." in text
    assert "Sessions of 1 are computed one by one: `e`." in text


def test_a_page_without_a_place_for_the_table_is_an_error() -> None:
    for text in ("", START, END):
        with pytest.raises(ValueError, match="markers"):
            render(text, {})


def test_a_page_that_says_something_else_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["family_summary"])
    family_summary.main()
    monkeypatch.setattr(family_summary, "read_table", dict)
    with pytest.raises(SystemExit):
        family_summary.main()


def test_families_whose_layers_need_the_tokens_are_named() -> None:
    table: dict[str, dict[str, Any]] = {"a": {"verdict": "exact", "state": [], "tokens": "ids"}}
    assert "Layers of `a` may need the tokens themselves." in summary(table)
