"""The few facts the pocket model knows, each kind with the ways it is asked.

A kind's first ways are trained; its last one is kept for evaluation. `{x}` is the thing asked about.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
MONTH_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
CAPITALS: Final = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid", "Portugal": "Lisbon",
    "England": "London", "the United Kingdom": "London", "Ireland": "Dublin", "Austria": "Vienna",
    "Switzerland": "Bern", "Belgium": "Brussels", "the Netherlands": "Amsterdam", "Denmark": "Copenhagen",
    "Norway": "Oslo", "Sweden": "Stockholm", "Finland": "Helsinki", "Poland": "Warsaw", "Greece": "Athens",
    "Hungary": "Budapest", "Romania": "Bucharest", "Ukraine": "Kyiv", "Russia": "Moscow", "Turkey": "Ankara",
    "Egypt": "Cairo", "Kenya": "Nairobi", "Morocco": "Rabat", "India": "New Delhi", "China": "Beijing",
    "Japan": "Tokyo", "South Korea": "Seoul", "Thailand": "Bangkok", "Vietnam": "Hanoi", "Indonesia": "Jakarta",
    "Australia": "Canberra", "New Zealand": "Wellington", "Canada": "Ottawa", "the United States": "Washington",
    "the USA": "Washington", "Mexico": "Mexico City", "Cuba": "Havana", "Brazil": "Brasilia",
    "Argentina": "Buenos Aires", "Chile": "Santiago", "Peru": "Lima", "Iceland": "Reykjavik", "Croatia": "Zagreb",
}  # fmt: skip
COLOURS: Final = {
    "the sky": "blue", "the sea": "blue", "grass": "green", "a leaf": "green", "a frog": "green", "snow": "white",
    "milk": "white", "coal": "black", "the night": "black", "blood": "red", "a tomato": "red", "a strawberry": "red",
    "a cherry": "red", "a fire engine": "red", "a banana": "yellow", "a lemon": "yellow", "the sun": "yellow",
    "an orange": "orange", "a carrot": "orange", "a pumpkin": "orange", "chocolate": "brown", "coffee": "brown",
    "a plum": "purple", "a flamingo": "pink", "an elephant": "grey", "a mouse": "grey",
}  # fmt: skip
OPPOSITES: Final = {
    "hot": "cold", "big": "small", "up": "down", "left": "right", "day": "night", "black": "white", "open": "closed",
    "fast": "slow", "good": "bad", "happy": "sad", "old": "young", "long": "short", "high": "low", "full": "empty",
    "hard": "soft", "wet": "dry", "light": "dark", "rich": "poor", "early": "late", "yes": "no", "in": "out",
    "first": "last", "loud": "quiet", "strong": "weak", "near": "far",
}  # fmt: skip
SOUNDS: Final = {
    "cat": "meow", "dog": "woof", "cow": "moo", "duck": "quack", "sheep": "baa", "pig": "oink", "lion": "roar",
    "bee": "buzz", "owl": "hoot", "frog": "croak", "horse": "neigh", "mouse": "squeak",
}  # fmt: skip
LEGS: Final = {
    "dog": 4, "cat": 4, "horse": 4, "cow": 4, "bird": 2, "spider": 8, "ant": 6, "bee": 6, "snake": 0, "fish": 0,
    "human": 2, "chair": 4, "octopus": 8,
}  # fmt: skip
SINGLE: Final = (
    ("How many days are in a week?", "How many days does a week have?", "A week has 7 days."),
    ("How many days are in a year?", "How many days does a year have?", "A year has 365 days."),
    ("How many months are in a year?", "How many months does a year have?", "A year has 12 months."),
    ("How many weeks are in a year?", "How many weeks does a year have?", "A year has 52 weeks."),
    ("How many hours are in a day?", "How many hours does a day have?", "A day has 24 hours."),
    ("How many minutes are in an hour?", "How many minutes does an hour have?", "An hour has 60 minutes."),
    ("How many seconds are in a minute?", "How many seconds does a minute have?", "A minute has 60 seconds."),
    ("How many seasons are there?", "How many seasons are in a year?", "A year has 4 seasons."),
    ("What are the seasons?", "Name the seasons.", "The seasons are spring, summer, autumn and winter."),
    ("How many letters are in the alphabet?", "How many letters are there?", "The English alphabet has 26 letters."),
    ("What is water made of?", "What is H2O?", "Water is H2O: hydrogen and oxygen."),
    ("At what temperature does water boil?", "When does water boil?", "Water boils at 100 degrees Celsius."),
    ("At what temperature does water freeze?", "When does water freeze?", "Water freezes at 0 degrees Celsius."),
    ("What is the largest planet?", "What is the biggest planet?", "The largest planet is Jupiter."),
    ("What is the smallest planet?", "Which planet is the smallest?", "The smallest planet is Mercury."),
    ("Which planet is closest to the Sun?", "What planet is nearest to the Sun?", "Mercury is closest to the Sun."),
    ("Which planet is the red planet?", "What is the red planet?", "The red planet is Mars."),
    ("How many planets are there?", "How many planets are in the solar system?", "There are 8 planets."),
    ("What planet do we live on?", "Which planet is our home?", "We live on Earth."),
    ("How many continents are there?", "How many continents does Earth have?", "There are 7 continents."),
    ("How many oceans are there?", "How many oceans does Earth have?", "There are 5 oceans."),
    ("What is the largest ocean?", "What is the biggest ocean?", "The largest ocean is the Pacific."),
    ("What is the longest river?", "Which river is the longest?", "The longest river is the Nile."),
    ("What is the highest mountain?", "What is the tallest mountain?", "The highest mountain is Mount Everest."),
    ("What is the largest animal?", "What is the biggest animal?", "The largest animal is the blue whale."),
    ("What is the fastest land animal?", "What is the fastest animal?", "The fastest land animal is the cheetah."),
    ("How many sides does a triangle have?", "How many sides are in a triangle?", "A triangle has 3 sides."),
    ("How many sides does a square have?", "How many sides are in a square?", "A square has 4 sides."),
    ("How many sides does a hexagon have?", "How many sides are in a hexagon?", "A hexagon has 6 sides."),
    ("What is the first month of the year?", "Which month is first?", "The first month is January."),
    ("What is the last month of the year?", "Which month is last?", "The last month is December."),
    ("What are the primary colours?", "Name the primary colors.", "The primary colours are red, yellow and blue."),
    ("What are the colours of the rainbow?", "Name the colors of the rainbow.",
     "The rainbow is red, orange, yellow, green, blue, indigo and violet."),
    ("How many fingers does a hand have?", "How many fingers are on a hand?", "A hand has 5 fingers."),
    ("What are the days of the week?", "Name the days of the week.", f"The days are {', '.join(DAYS)}."),
    ("How many legs does a spider have?", "How many legs do spiders have?", "A spider has 8 legs."),
    ("What do bees make?", "What does a bee make?", "Bees make honey."),
    ("What do cows give?", "What do cows make?", "Cows give milk."),
    ("Is the Earth round?", "What shape is the Earth?", "The Earth is round."),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing known: the ways it is asked in training, the way kept for evaluation, and the answer."""

    ways: tuple[str, ...]
    unseen: str | None
    answer: str


def _kind(answers: dict[str, str], ways: tuple[str, ...]) -> list[Fact]:
    return [
        Fact(ways=tuple(way.format(x=x) for way in ways[:-1]), unseen=ways[-1].format(x=x), answer=answer)
        for x, answer in answers.items()
    ]


def all_facts() -> list[Fact]:
    """Return every fact, in a fixed order."""
    days = {day: DAYS[(i + 1) % 7] for i, day in enumerate(DAYS)}
    months = {month: MONTHS[(i + 1) % 12] for i, month in enumerate(MONTHS)}
    letters = {chr(65 + i): chr(66 + i) for i in range(25)}
    facts = _kind(
        {x: f"The capital of {x} is {city}." for x, city in CAPITALS.items()},
        ("What is the capital of {x}?", "Capital of {x}?", "What's the capital of {x}?", "Tell me the capital of {x}.",
         "Which city is the capital of {x}?", "The capital of {x} is", "What is the capital city of {x}?",
         "Name the capital of {x}.", "Do you know the capital of {x}?"),
    )  # fmt: skip
    facts += _kind(
        {x: f"{x[0].upper()}{x[1:]} is {colour}." for x, colour in COLOURS.items()},
        ("What colour is {x}?", "What color is {x}?", "Which color is {x}?", "Tell me the color of {x}.",
         "What is the color of {x}?", "What is the colour of {x}?", "Which colour is {x}?"),
    )  # fmt: skip
    facts += _kind(
        {x: f"The opposite of {x} is {other}." for x, other in OPPOSITES.items()},
        ("What is the opposite of {x}?", "Opposite of {x}?", "What's the opposite of {x}?",
         "The opposite of {x} is", "Tell me the opposite of {x}."),
    )  # fmt: skip
    facts += _kind(
        {x: f"{_a(x)} says {sound}." for x, sound in SOUNDS.items()},
        ("What sound does a {x} make?", "What does a {x} say?", "Which sound does a {x} make?",
         "What noise does a {x} make?"),
    )  # fmt: skip
    facts += _kind(
        {x: f"{_a(x)} has {legs or 'no'} legs." for x, legs in LEGS.items()},
        ("How many legs does a {x} have?", "How many legs has a {x}?", "Tell me how many legs a {x} has."),
    )
    facts += _kind(
        {x: f"{after} comes after {x}." for x, after in (days | months).items()},
        (
            "What comes after {x}?",
            "What follows {x}?",
            "Which comes after {x}?",
            "Tell me what comes after {x}.",
        ),
    )
    facts += _kind(
        {x: f"{before} comes before {x}." for before, x in (days | months).items()},
        ("What comes before {x}?", "Which comes before {x}?", "Tell me what comes before {x}."),
    )
    facts += _kind(
        {x: f"{x} has {count} days." for x, count in zip(MONTHS, MONTH_DAYS, strict=True)},
        (
            "How many days are in {x}?",
            "How many days does {x} have?",
            "How long is {x}?",
            "How many days has {x}?",
        ),
    )
    facts += _kind(
        {x: f"{after} comes after {x}." for x, after in letters.items()},
        ("What letter comes after {x}?", "Which letter comes after {x}?", "Which letter follows {x}?"),
    )
    return facts + [Fact(ways=ways, unseen=None, answer=answer) for *ways_list, answer in SINGLE
                    for ways in [tuple(ways_list)]]  # fmt: skip


def ask(rng: Random, facts: list[Fact]) -> tuple[str, str]:
    """Return a trained question for one of `facts`, and its answer."""
    fact = rng.choice(facts)
    return rng.choice(fact.ways), fact.answer


def _a(noun: str) -> str:
    return f"{'An' if noun[0] in 'aeio' else 'A'} {noun}"
