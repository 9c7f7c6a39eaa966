"""The text the pocket model learns from: single exchanges of every kind, in fixed shares, from a seed.

Nothing comes from outside. The questions of the evaluation are never emitted, whatever the templates would make of them;
two questions are the same when they differ only in case, spaces and the punctuation at their ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from scripts.pocket import arithmetic, facts, others, talk
from scripts.pocket.questions import UNSEEN_OTHERS

KINDS: Final = (
    "squares", "sums", "differences", "products", "facts", "small talk", "lamella", "others", "below zero",
)  # fmt: skip
"""What an exchange may be; "below zero" is a difference that is."""
SHARES: Final = (
    (0.17, 0.24, 0.13, 0.06, 0.13, 0.03, 0.05, 0.19, 0.0),
    (0.11, 0.20, 0.23, 0.05, 0.15, 0.05, 0.03, 0.18, 0.0),
    (0.08, 0.18, 0.20, 0.04, 0.11, 0.05, 0.04, 0.16, 0.14),
)
"""What part of all exchanges is of which kind, by cycle; each turns to what the one before had learned least."""

_FLUFF: Final = (
    "Please tell me: ", "Hey, ", "Quick: ", "OK, ", "Now ", "And ", "So ", "Hi! ", "Well, ", "Next: ", "Thanks. ", "Great, ",
    "Hello, ", "Then ", "Question: ", "Um, ", "Please, ", "Good. ",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One question and its answer."""

    kind: str
    question: str
    answer: str


def plain(question: str) -> str:
    """Return `question` as it is compared: lower case, single spaces, nothing but words and digits at its ends."""
    return " ".join(question.lower().split()).strip(" .?!,")


class Corpus:
    """All text of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.shares = SHARES[0]
        self.held_out = arithmetic.HeldOut(seed)
        self.facts = facts.all_facts()
        self.kept_back = frozenset(plain(question) for question in self._evaluation_questions())
        self._taught = frozenset(plain(question) for question in self._taught_questions())

    def exchanges(self) -> Iterator[Exchange]:
        """Yield exchanges without end, always the same ones; each is drawn by the `shares` of its moment."""
        rng = Random(f"corpus {self.seed}")
        while True:
            kind = rng.choices(KINDS, self.shares)[0]
            question, answer = self._draw(rng, kind)
            if rng.random() < 0.1:
                question = rng.choice(_FLUFF) + question
            if plain(question) not in self.kept_back:
                yield Exchange(kind=kind, question=dress(rng, question), answer=answer)

    def _draw(self, rng: Random, kind: str) -> tuple[str, str]:
        match kind:
            case "squares":
                return arithmetic.square(rng)
            case "sums":
                return arithmetic.total(rng, self.held_out)
            case "differences":
                return arithmetic.difference(rng, self.held_out)
            case "below zero":
                return arithmetic.difference(rng, self.held_out, below_zero=1.0)
            case "products":
                return arithmetic.product(rng)
            case "facts":
                return facts.ask(rng, self.facts)
            case "small talk":
                return talk.small_talk(rng)
            case "lamella":
                return talk.about_lamella(rng)
            case _:
                question = others.other(rng)
                while plain(question) in self._taught:
                    question = others.other(rng)
                return question, talk.HONEST

    def _taught_questions(self) -> Iterator[str]:
        for fact in self.facts:
            yield from fact.ways
        for replies in (talk.SMALL_TALK, talk.LAMELLA):
            for ways in replies.values():
                yield from ways

    def _evaluation_questions(self) -> Iterator[str]:
        yield from UNSEEN_OTHERS
        yield from talk.UNSEEN_LAMELLA
        yield from (fact.unseen for fact in self.facts if fact.unseen)
        for way in arithmetic.UNSEEN_SQUARES:
            yield from (way.format(a=a) for a in range(arithmetic.LARGEST + 1))


def dress(rng: Random, text: str) -> str:
    """Return `text` as a person might type it: case and closing punctuation vary."""
    style = rng.random()
    if style < 0.40:
        return text
    if style < 0.55:
        return text.lower()
    bare = text.rstrip(".?!") or text
    if style < 0.70:
        return bare
    if style < 0.88:
        return bare.lower()
    if style < 0.91:
        return text.upper()
    return bare + rng.choice(("?", "!", "??", ".", " ?", " ", "...", "!?", "\n"))
