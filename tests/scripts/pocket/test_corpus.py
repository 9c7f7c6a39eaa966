"""The corpus is the same for a seed, and holds nothing that the evaluation asks."""

from __future__ import annotations

import re
from itertools import islice
from random import Random

import pytest

from scripts.pocket import arithmetic, talk
from scripts.pocket.corpus import KINDS, SHARES, Corpus, Exchange, dress, plain
from scripts.pocket.evaluate import cases
from scripts.pocket.questions import UNSEEN_OTHERS

DRAWN = 20_000


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus(1)


@pytest.fixture(scope="module")
def drawn(corpus: Corpus) -> list[Exchange]:
    return list(islice(corpus.exchanges(), DRAWN))


def test_a_seed_always_gives_the_same_text(drawn: list[Exchange]) -> None:
    assert list(islice(Corpus(1).exchanges(), 500)) == drawn[:500]
    assert list(islice(Corpus(2).exchanges(), 500)) != drawn[:500]


def test_every_kind_has_its_share(drawn: list[Exchange]) -> None:
    for shares in SHARES:
        assert sum(shares) == pytest.approx(1)
    for kind, share in zip(KINDS, SHARES[0], strict=True):
        assert sum(exchange.kind == kind for exchange in drawn) / DRAWN == pytest.approx(share, abs=0.02)


def test_no_question_of_the_evaluation_is_ever_drawn(corpus: Corpus, drawn: list[Exchange]) -> None:
    unseen = {plain(question) for question in (*UNSEEN_OTHERS, *talk.UNSEEN_LAMELLA)}
    unseen |= {plain(way.format(a=a)) for way in arithmetic.UNSEEN_SQUARES for a in range(100)}
    unseen |= {plain(fact.unseen) for fact in corpus.facts if fact.unseen}
    assert not unseen & {plain(exchange.question) for exchange in drawn}
    assert unseen <= corpus.kept_back


def test_no_held_out_pair_is_ever_added_or_subtracted(corpus: Corpus, drawn: list[Exchange]) -> None:
    seen = set()
    for exchange in drawn:
        operands = re.match(r"(\d+) (plus|minus) (\d+) ", exchange.answer)
        if operands:
            seen.add((int(operands[1]), int(operands[3])))
    assert len(seen) > 1000
    assert not any(pair in corpus.held_out for pair in seen)
    assert (34, 87) in seen or (87, 34) in seen or (34, 87) in corpus.held_out


def test_a_held_out_pair_is_held_out_in_both_orders(corpus: Corpus) -> None:
    assert len(corpus.held_out.pairs) == round(0.1 * 90 * 91 / 2)
    for a, b in corpus.held_out.pairs:
        assert (a, b) in corpus.held_out
        assert (b, a) in corpus.held_out


def test_no_question_has_two_answers(drawn: list[Exchange]) -> None:
    answers: dict[str, set[str]] = {}
    for exchange in drawn:
        answers.setdefault(plain(exchange.question), set()).add(exchange.answer)
    assert [(question, several) for question, several in answers.items() if len(several) > 1] == []


def test_arithmetic_answers_are_true(drawn: list[Exchange]) -> None:
    for exchange in drawn:
        numbers = [int(number) for number in re.findall(r"-?\d+", exchange.answer)]
        match exchange.kind:
            case "squares":
                assert numbers[1] == numbers[0] ** 2
            case "sums":
                assert numbers[2] == numbers[0] + numbers[1]
            case "differences" | "below zero":
                assert numbers[2] == numbers[0] - numbers[1]
            case "products":
                assert numbers[-1] == (
                    numbers[0] ** 2 if "squared" in exchange.answer else numbers[0] * numbers[1]
                )


def test_dressing_changes_nothing_but_case_and_the_ends() -> None:
    rng = Random(0)
    for text in ("What is 17 squared?", "12 + 30", "Hi", "?!"):
        dressed = {dress(rng, text) for _ in range(300)}
        assert len(dressed) > 4
        assert {plain(one) for one in dressed} == {plain(text)}


def test_the_cases_of_the_evaluation_are_the_same_every_time(corpus: Corpus) -> None:
    assert cases(corpus) == cases(Corpus(1))
    assert len(UNSEEN_OTHERS) == len(set(UNSEEN_OTHERS)) == 200
