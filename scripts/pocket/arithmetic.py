"""Small arithmetic, asked in many ways and answered in one: "17 squared is 289."

The answer repeats the question in its plainest form before the result, so that however it was asked the result follows
the same few tokens. Squares to 99, sums and differences of numbers to 99, products to 12. A tenth of the pairs of
two-digit numbers never occurs in training, in either order, in sums or differences.
"""

from __future__ import annotations

from random import Random
from typing import Final

LARGEST: Final = 99
LARGEST_FACTOR: Final = 12
HELD_OUT_SHARE: Final = 0.1

WORDS: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
).split()

_ASK: Final = (
    "{}", "{}", "{}", "{}?", "{} = ?", "{} =", "{} is", "What is {}?", "What is {}?", "What is {}?", "What's {}?",
    "How much is {}?", "Compute {}.", "Calculate {}.", "Work out {}.", "Tell me {}.", "Tell me what {} is.",
    "Please compute {}.", "Can you tell me {}?", "Can you calculate {}?", "Could you compute {}?", "Find {}.",
    "Give me {}.", "Do you know {}?", "What does {} equal?", "What does {} give?", "What is the result of {}?",
    "What is the value of {}?", "I want to know {}.", "Can you work out {} for me?", "{}, please", "{} is what?",
    "How about {}?", "And {}?", "And what is {}?", "Solve {}.", "Evaluate {}.", "I need {}.", "What would {} be?",
)  # fmt: skip
_DO: Final = (
    "{}.", "{}.", "Please {}.", "Can you {}?", "Could you {}?", "What do you get if you {}?", "What happens if I {}?",
    "I want to {}.", "What is it when you {}?", "Now {}.",
)  # fmt: skip
_SQUARE_NAMES: Final = (
    "{a} squared", "{a} squared", "{a} squared", "{a}^2", "{a}^2", "{a} ^ 2", "{a}²", "{a}**2", "{a} * {a}", "{a} * {a}",
    "{a}*{a}", "{a} x {a}", "{a} times {a}", "{a} multiplied by {a}", "the square of {a}", "the square of {a}",
    "square of {a}", "{a} to the power of 2", "{a} to the power of two", "{a} to the second power", "{a} times itself",
    "{a} multiplied by itself", "the product of {a} and {a}", "{a} × {a}",
)  # fmt: skip
_SQUARE_DEEDS: Final = (
    "square {a}",
    "square the number {a}",
    "multiply {a} by itself",
    "multiply {a} by {a}",
)
_SUM_NAMES: Final = (
    "{a} + {b}", "{a} + {b}", "{a} + {b}", "{a}+{b}", "{a}+{b}", "{a} plus {b}", "{a} plus {b}", "{a} and {b} together",
    "the sum of {a} and {b}", "{a} added to {b}", "{a} and {b} added together", "sum of {a} and {b}", "{a} more than {b}",
)  # fmt: skip
_SUM_DEEDS: Final = ("add {a} and {b}", "add {a} to {b}", "sum {a} and {b}", "put {a} and {b} together")
_DIFFERENCE_NAMES: Final = (
    "{a} - {b}", "{a} - {b}", "{a} - {b}", "{a}-{b}", "{a}-{b}", "{a} minus {b}", "{a} minus {b}", "{a} take away {b}",
    "the difference of {a} and {b}", "{a} less {b}", "{a} − {b}",
)  # fmt: skip
_DIFFERENCE_DEEDS: Final = ("subtract {b} from {a}", "take {b} from {a}", "take {b} away from {a}")
_PRODUCT_NAMES: Final = (
    "{a} * {b}", "{a} * {b}", "{a}*{b}", "{a} x {b}", "{a}x{b}", "{a} times {b}", "{a} times {b}", "{a} multiplied by {b}",
    "the product of {a} and {b}", "{a} × {b}",
)  # fmt: skip
_PRODUCT_DEEDS: Final = ("multiply {a} by {b}", "multiply {a} and {b}")

UNSEEN_SQUARES: Final = (
    "Could you work out {a} squared for me?",
    "Please square the number {a} for me.",
    "I would like to know {a} squared.",
    "How much is {a} times {a}, please?",
    "{a} squared equals what?",
    "Do you know what {a}^2 is?",
    "What does {a} * {a} make?",
    "The square of {a} is what?",
    "what would {a} multiplied by itself be",
    "Quick question: {a} squared?",
)
"""Ways of asking for a square that training never uses."""
UNSEEN_SUMS: Final = (
    "Could you add {a} and {b} for me?",
    "{a} plus {b} equals what?",
    "Do you know what {a}+{b} is?",
)
"""Ways of asking for a sum that training never uses."""


class HeldOut:
    """The pairs of two-digit numbers that training never adds or subtracts."""

    def __init__(self, seed: int) -> None:
        rng = Random(f"held out {seed}")
        pairs = [(a, b) for a in range(10, LARGEST + 1) for b in range(a, LARGEST + 1)]
        self.pairs = frozenset(rng.sample(pairs, round(len(pairs) * HELD_OUT_SHARE)))

    def __contains__(self, pair: tuple[int, int]) -> bool:
        return (min(pair), max(pair)) in self.pairs


def square(rng: Random) -> tuple[str, str]:
    """Return a question for a square, and its answer."""
    a = rng.randint(0, LARGEST)
    return _ask(rng, _SQUARE_NAMES, _SQUARE_DEEDS, a, a), square_answer(a)


def total(rng: Random, held_out: HeldOut) -> tuple[str, str]:
    """Return a question for a sum that is not held out, and its answer."""
    while True:
        a, b = _number(rng), _number(rng)
        if (a, b) not in held_out:
            return _ask(rng, _SUM_NAMES, _SUM_DEEDS, a, b), sum_answer(a, b)


def difference(rng: Random, held_out: HeldOut, *, below_zero: float = 0.125) -> tuple[str, str]:
    """Return a question for a difference that is not held out, and its answer; `below_zero` is the chance of that."""
    while True:
        a, b = _number(rng), _number(rng)
        if (a < b) != (rng.random() < below_zero):
            a, b = b, a
        if (a, b) not in held_out:
            return _ask(rng, _DIFFERENCE_NAMES, _DIFFERENCE_DEEDS, a, b), difference_answer(a, b)


def product(rng: Random) -> tuple[str, str]:
    """Return a question for a small product, and its answer."""
    a, b = rng.randint(0, LARGEST_FACTOR), rng.randint(0, LARGEST_FACTOR)
    return _ask(rng, _PRODUCT_NAMES, _PRODUCT_DEEDS, a, b), product_answer(a, b)


def square_answer(a: int) -> str:
    """Return the answer to the square of `a`."""
    return f"{a} squared is {a * a}."


def sum_answer(a: int, b: int) -> str:
    """Return the answer to `a` + `b`."""
    return f"{a} plus {b} is {a + b}."


def difference_answer(a: int, b: int) -> str:
    """Return the answer to `a` - `b`."""
    return f"{a} minus {b} is {a - b}."


def product_answer(a: int, b: int) -> str:
    """Return the answer to `a` times `b`; that of a square is the square's."""
    return square_answer(a) if a == b else f"{a} times {b} is {a * b}."


def _number(rng: Random) -> int:
    return rng.randint(0, LARGEST) if rng.random() < 0.85 else rng.randint(0, 20)


def _ask(rng: Random, names: tuple[str, ...], deeds: tuple[str, ...], a: int, b: int) -> str:
    if rng.random() < 0.88:
        frame, core = rng.choice(_ASK), rng.choice(names)
    else:
        frame, core = rng.choice(_DO), rng.choice(deeds)
    spell = a < len(WORDS) and b < len(WORDS) and rng.random() < 0.15
    core = core.format(a=WORDS[a], b=WORDS[b]) if spell else core.format(a=a, b=b)
    text = frame.format(core)
    return text[0].upper() + text[1:]
