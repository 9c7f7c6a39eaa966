"""Everything the model was not taught, so that it learns to say so: questions, requests, statements, code, noise.

The rule to be learned is "anything that is not one of the few known forms", so width matters more than sense: templates
with words from `vocabulary`, made-up words, word salad, foreign scripts, and near misses of what the model does know.
"""

from __future__ import annotations

from random import Random
from typing import Final

from scripts.pocket.text import lines
from scripts.pocket.vocabulary import ABSTRACTIONS, ADJECTIVES, NAMES, NOUNS, PLACES, VERBS

_TEMPLATES: Final = lines("templates.txt")
_NEAR_MISSES: Final = lines("near_misses.txt")
"""Forms the model knows, about things it does not."""
_PAST_ARITHMETIC: Final = lines("past_arithmetic.txt")
"""Arithmetic past what the model learns: `{h}` three digits and more, `{f}` 13 to 99, two of them never the same."""
_SAID: Final = lines("said.txt")
"""Things said as they are: questions, statements, other languages, code."""

_SCRIPTS: Final = (
    (0x1F300, 0x1F64F), (0x410, 0x44F), (0x4E00, 0x9FA5), (0x3041, 0x3096), (0x3B1, 0x3C9), (0x621, 0x64A),
    (0xC0, 0x17F), (0x905, 0x939), (0xAC00, 0xD7A3), (0x21, 0x2F), (0x5D0, 0x5EA),
)  # fmt: skip
"""Ranges of code points for noise."""
_ONSETS: Final = (
    "b bl br c ch cr d dr f fl fr g gl gr h j k kl l m n p pl pr qu r s sc sh sk sl sm sp st str t th tr v w x y z"
).split()
_NUCLEI: Final = "a a e e i i o o u ai au ea ee ei ie oa oo ou y".split()
_CODAS: Final = ["", "", "", "", *"b ck d f g l ll m mp n nd ng nt p r rd rk rn rt s sh ss st t th x".split()]
_ENDINGS: Final = ["", "", "", "", *"ing ed tion ism ity ous able er ia um land ology s".split()]
_OPENERS: Final = (
    "What", "What is", "How", "How do", "Why", "Who", "When", "Where", "Is", "Are", "Can", "Do", "Tell me", "Please", "I",
    "The", "My", "Which", "Does", "",
)  # fmt: skip
_SMALL_WORDS: Final = "the a of in to and or for with from my your it is are on at by not".split()


def other(rng: Random) -> str:
    """Return something that only the honest answer fits."""
    kind = rng.random()
    if kind < 0.50:
        return _fill(rng, rng.choice(_TEMPLATES))
    if kind < 0.64:
        return _fill(rng, rng.choice(_NEAR_MISSES))
    if kind < 0.76:
        return _fill(rng, rng.choice(_PAST_ARITHMETIC))
    if kind < 0.86:
        return rng.choice(_SAID)
    if kind < 0.94:
        return _salad(rng)
    if kind < 0.97:
        return " ".join(_fill(rng, rng.choice(_TEMPLATES)) for _ in range(rng.randint(2, 5)))
    return _noise(rng)


def made_up(rng: Random) -> str:
    """Return a word that no language has, or has by chance."""
    syllables = rng.choice((1, 1, 2, 2, 2, 3))
    stem = "".join(rng.choice(_ONSETS) + rng.choice(_NUCLEI) + rng.choice(_CODAS) for _ in range(syllables))
    return stem + rng.choice(_ENDINGS)


def _fill(rng: Random, template: str) -> str:
    parts = []
    factors = rng.sample(range(13, 100), 2)
    for piece in template.split("{"):
        slot, closed, rest = piece.partition("}")
        parts.append(_word(rng, slot, factors) + rest if closed else piece)
    text = "".join(parts)
    return text[0].upper() + text[1:] if text[0] not in "x(" else text


def _word(rng: Random, slot: str, factors: list[int]) -> str:
    if slot == "h":
        return str(rng.randint(100, rng.choice((999, 9999, 10**6))))
    if slot == "f":
        return str(factors.pop())
    if slot in ("i", "k"):
        return str(rng.randint(2, 99))
    lists = {"n": NOUNS, "v": VERBS, "a": ADJECTIVES, "c": PLACES, "u": PLACES, "p": NAMES, "m": ABSTRACTIONS}
    if slot == "w" or rng.random() < 0.3:
        word = made_up(rng)
        return word.capitalize() if slot in "cup" or (slot == "w" and rng.random() < 0.5) else word
    return rng.choice(lists[slot])


def _salad(rng: Random) -> str:
    words = [
        rng.choice(
            (
                rng.choice(NOUNS),
                rng.choice(VERBS),
                rng.choice(ADJECTIVES),
                made_up(rng),
                made_up(rng),
                rng.choice(_SMALL_WORDS),
            )
        )
        for _ in range(rng.randint(1, 7))
    ]
    return f"{rng.choice(_OPENERS)} {' '.join(words)}{rng.choice('??.! ')}".strip()


def _noise(rng: Random) -> str:
    if rng.random() < 0.4:
        return "".join(chr(rng.randint(0x21, 0x7E)) for _ in range(rng.randint(1, 12)))
    low, high = rng.choice(_SCRIPTS)
    signs = [" " if rng.random() < 0.15 else chr(rng.randint(low, high)) for _ in range(rng.randint(1, 8))]
    return "".join(signs).strip() or "?"
