"""Everything the model was not taught, so that it learns to say so: questions, requests, statements, code, noise.

The rule to be learned is "anything that is not one of the few known forms", so width matters more than sense: templates
with words from `vocabulary`, made-up words, word salad, foreign scripts, and near misses of what the model does know.
"""

from __future__ import annotations

from random import Random
from typing import Final

from scripts.pocket.vocabulary import ABSTRACTIONS, ADJECTIVES, FIXED, NAMES, NOUNS, PLACES, VERBS

_TEMPLATES: Final = tuple(
    line
    for line in """
How do I {v} a {n}?
How do I {v} the {n} with a {n}?
How do I {v} my {n} without a {n}?
How can I {v} {n}s?
How do you {v} a {n}?
How to {v} a {a} {n}
How does a {n} work?
How is a {n} made?
How are {n}s made?
How did {p} {v} the {n}?
How many {n}s are there in {c}?
How many {n}s can a {n} {v}?
How many people {v} {n}s?
How many {n}s does {p} have?
How much does a {n} cost?
How much does a {n} weigh?
How much {n} is in a {n}?
How long does it take to {v} a {n}?
How long is a {n}?
How long should I {v} the {n}?
How far is {c} from {c}?
How old is {p}?
How old is the {n}?
How tall is {p}?
How {a} is the {n}?
How {a} is {c}?
How often should I {v} my {n}?
How was the {n}?
What is a {n}?
What is a {a} {n}?
What is the {n}?
What is {m}?
What is {m} about?
What is {c}?
What is {p}?
What is the {n} of {c}?
What is the {n} of the {n}?
What is the {a} {n} in {c}?
What is the best {n}?
What is the best {n} in {c}?
What is the best way to {v} a {n}?
What is the most {a} {n}?
What is the difference between a {n} and a {n}?
What is the difference between {m} and {m}?
What is the history of {c}?
What is the population of {c}?
What is the meaning of {n}?
What is your favourite {n}?
What is your opinion on {m}?
What is in a {n}?
What is inside the {n}?
What is {p} famous for?
What is my {n}?
What is the price of a {n}?
What's a {n}?
What's the {n}?
What's wrong with my {n}?
What's the weather in {c}?
What are {n}s?
What are the {a} {n}s?
What are {n}s made of?
What are the symptoms of {n}?
What are the rules of {n}?
What was the {n} of {p}?
What does a {n} {v}?
What does a {n} look like?
What does {p} {v}?
What does the {n} do?
What does {w} mean?
What does {n} mean in {c}?
What do {n}s {v}?
What do you think about {m}?
What do you think of {p}?
What did {p} {v}?
What did the {n} say to the {n}?
What happens when a {n} meets a {n}?
What happens if I {v} a {n}?
What happened to {p} in {c}?
What happened in {c}?
What if {n}s could {v}?
What kind of {n} is that?
What can I {v} in {c}?
What can a {n} {v}?
What should I {v}?
What should I {v} with my {n}?
What would {p} say about {m}?
What makes a {n} {a}?
What causes {n}?
What {n} should I {v}?
What {n} is this?
What time does the {n} open?
What year did {p} {v} the {n}?
What rhymes with {n}?
Who is {p}?
Who is {p} and what did they {v}?
Who was {p}?
Who is the {n} of {c}?
Who {v}s the {n}?
Who wrote the {n}?
Who invented the {n}?
Who discovered the {n}?
Who won the {n} in {c}?
Who made the {n}?
Who owns the {n}?
Who runs the {n}?
Who is the most {a} {n}?
Who can {v} a {n}?
Who stole my {n}?
Where is {c}?
Where is the {n}?
Where is my {n}?
Where is {p}?
Where can I {v} a {n}?
Where can I find a {a} {n} in {c}?
Where do {n}s live?
Where do {n}s come from?
Where does {p} live?
Where did {p} {v} the {n}?
Where should I {v} my {n}?
When was {p} born?
When did {p} {v}?
When was the {n} invented?
When is the {n}?
When does the {n} {v}?
When should I {v} the {n}?
When will {p} {v} the {n}?
Why is the {n} {a}?
Why are {n}s {a}?
Why do {n}s {v}?
Why does my {n} {v}?
Why does the {n} {v} when I {v}?
Why did {p} {v} the {n}?
Why can't I {v} my {n}?
Why is {p} {a}?
Why is {m} important?
Why should I {v} {n}s?
Which {n} is the most {a}?
Which {n} should I {v}?
Which is better, a {n} or a {n}?
Which {n} {v}s the {n}?
Which country has the most {n}s?
Is a {n} {a}?
Is the {n} {a}?
Is {p} {a}?
Is {c} {a}?
Is it {a} to {v} a {n}?
Is it true that {n}s {v}?
Is there a {n} in {c}?
Is {m} real?
Is {p} still alive?
Is my {n} {a}?
Are {n}s {a}?
Are there {n}s in {c}?
Are {n}s and {n}s the same?
Are you a {n}?
Are you {a}?
Was {p} a {n}?
Was the {n} {a}?
Were {n}s {a}?
Do {n}s {v}?
Do {n}s {v} {n}s?
Do you {v}?
Do you like {n}s?
Do you know {p}?
Do you know how to {v} a {n}?
Do you have a {n}?
Do I need a {n} to {v}?
Does a {n} {v}?
Does {p} {v} {n}s?
Did {p} {v} the {n}?
Did you {v} the {n}?
Can a {n} {v}?
Can I {v} a {n}?
Can I {v} my {n} in {c}?
Can you {v}?
Can you {v} a {n}?
Can you {v} my {n}?
Can you explain {m}?
Can you tell me about {n}s?
Can you tell me where {p} is?
Can you write a {n} about {p}?
Can you recommend a {n}?
Could a {n} {v} a {n}?
Could you {v} the {n} for me?
Will {p} {v} the {n}?
Will it {v} tomorrow in {c}?
Would a {n} {v} in {c}?
Should I {v} my {n}?
Should {n}s be {a}?
Have you ever {v} a {n}?
Has {p} {v}ed the {n}?
May I {v} your {n}?
Tell me about {m}.
Tell me about {p}.
Tell me about {c}.
Tell me about {n}s.
Tell me a {n}.
Tell me a {n} about a {a} {n}.
Tell me how to {v} a {n}.
Tell me why {n}s {v}.
Tell me the {n} of {p}.
Explain {m}.
Explain {m} to {p}.
Explain the {n}.
Explain how a {n} works.
Describe a {n}.
Describe the {a} {n} of {c}.
Define {m}.
Define {w}.
Compare {m} and {m}.
Write a {n} about {m}.
Write a poem about a {n}.
Write a {a} story about {p} and a {n}.
Write a letter to {p}.
Write a function that {v}s a {n}.
Write code to {v} a {n}.
Write an essay on {m}.
Translate {n} into Spanish.
Translate this: the {n} {v}s the {n}.
How do you say {n} in Latin?
Spell {n}.
Spell {w} for me.
Give me a {n}.
Give me a list of {a} {n}s.
Give me three {n}s.
Give me a recipe for {n} {n}.
List the {n}s of {c}.
List all {n}s.
Name a {n}.
Name the {a} {n}.
Name three {n}s in {c}.
Show me a {n}.
Show me a picture of {p}.
Find me a {n} in {c}.
Find the {n}.
Play {n}.
Play a song by {p}.
Draw a {a} {n}.
Draw {p} with a {n}.
Make a {n}.
Make me a {n} {n}.
Buy a {n}.
Book a {n} to {c}.
Order a {n} for {p}.
Open the {n}.
Turn off the {n}.
Set the {n} to {k}.
Remind me to {v} the {n} at {k}.
Call {p}.
Send {p} a {n}.
Help me {v} my {n}.
Help {p} {v}.
Teach me {m}.
Teach me to {v}.
Recommend a {n}.
Suggest a {n} for {p}.
Summarise {m} in {k} words.
Imagine a {n} that can {v}.
Pretend to be a {n}.
Act as {p}.
Repeat: {n} {n} {n}
Let us {v} a {n}.
Let's talk about {m}.
Please {v} the {n}.
Please {v} me.
{v} the {n}.
{v} {n}s
I {v} {n}s.
I like {n}s.
I hate {m}.
I want to {v} a {n}.
I want a {a} {n}.
I need to {v} my {n}.
I need a {n} in {c}.
I have a {n}.
I have {k} {n}s and {p} has {k}.
I am a {n}.
I am {a}.
I am from {c}.
I'm {a}.
I'm looking for a {n}.
I live in {c}.
I saw a {n} in {c}.
I think {p} is {a}.
I feel {a}.
I would like a {n} with {n}.
I can't {v} my {n}.
My {n} is {a}.
My {n} does not {v}.
My {n} and my {n} {v} in {c}.
My name is {p}.
My favourite {n} is {n}.
You are {a}.
You are a {a} {n}.
You should {v} the {n}.
He is a {n}.
She {v}s the {n} in {c}.
They {v} {n}s.
We {v} the {n} with {p}.
It is {a}.
It is a {n}.
This is a {n}.
This {n} is {a}.
That {n} is {a}.
There is a {n} in the {n}.
There are {k} {n}s.
The {n} is {a}.
The {n} {v}s the {a} {n}.
The {a} {n} of {c} {v}s.
The {n} of {p} is in {c}.
{p} is a {n}.
{p} {v}s in {c}.
{p} and {p} {v} a {n}.
{c} is {a}.
{n}s are {a}.
{n}s {v} {n}s.
{a} {n}
{n}
{n} {n}
{n}?
{n}s
{m}
{m}?
{p}
{p}?
{c}
{c}?
{w}
{w}?
{w} {w}
{k} {n}s
{k} {n}s and {k} {n}s
If {k} {n}s cost {k}, what do {k} {n}s cost?
If a {n} can {v}, can a {n} {v}?
If I {v} {k} {n}s, how many are left?
{p} has {k} {n}s and {v}s {k}. How many now?
Once upon a time there was a {a} {n}.
Yesterday I {v}ed a {n}.
Tomorrow {p} will {v} the {n}.
In {c}, {n}s {v}.
""".splitlines()
    if line
)

_NEAR_MISSES: Final = tuple(
    line
    for line in """
What is the capital of {u}?
What is the capital of {u}?
What is the capital city of {u}?
Capital of {u}?
capital of {u}
What's the capital of {u}?
Tell me the capital of {u}.
What is the capital of {n}?
What colour is {p}?
What colour is a {n}?
What color is a {n}?
What color is the {n}?
What colour is my {n}?
What color is {w}?
Which color is a {w}?
What is the color of {m}?
What is the opposite of {n}?
What is the opposite of {w}?
What is the opposite of {m}?
Opposite of {n}?
What sound does a {n} make?
What sound does {w} make?
What does a {w} say?
How many legs does a {n} have?
How many legs does a {w} have?
How many {n}s does a {n} have?
How many {n}s are in a {n}?
How many {n}s are in a {w}?
How many days are in {w}?
What comes after {n}?
What comes after {w}?
What comes before {m}?
What follows {n}?
What letter comes after {n}?
Which planet is {a}?
What is the largest {n}?
What is the smallest {n}?
What is the biggest {n} in {c}?
What is the longest {n}?
What is the highest {n} in {c}?
What is the fastest {n}?
What do {n}s make?
How many sides does a {n} have?
At what temperature does {n} boil?
What is {w}?
What is {w}?
What's {w}?
what is {w}
What is {w} for?
Tell me about {w}.
Explain {w}.
What does {w} do?
How does {w} work?
How do I join {w}?
Who made {w}?
Who runs {w}?
Who are {n}s?
Is {w} free?
Is {w} private?
Where does {w} run?
What are {w}s?
Where do {n}s run?
How big is {w}?
How big is a {n}?
Are you {p}?
What can {p} do?
What is {k} {w}?
What is {k} {n}s?
What is {k} {w} {k}?
{k} {w}
{w} {k}
{k} {w} {k}
{w} of {k}
What is the {w} of {k}?
What is the {n} of {k}?
What is {m} plus {m}?
{n} + {n}
{w} plus {w}
{n} squared
What is {w} squared?
{k} + {w}
{n} times {k}
Add {n} and {n}.
Add a {n} to the {n}.
Square the {n}.
Multiply {n}s.
""".splitlines()
    if line
)
"""Forms the model knows, about things it does not."""

_BIG_SUMS: Final = (
    "{i} + {h}", "{h} + {i}", "{h} + {h}", "What is {h} + {i}?", "What is {i} plus {h}?", "{h} - {i}", "{h} minus {i}",
    "{h} * {i}", "{i} * {h}", "{f} * {f}", "{f} times {f}", "What is {f} times {f}?", "What is {h} squared?",
    "{h} squared", "{h}^2", "the square of {h}", "{i} / {i}", "{i} divided by {i}", "What is {h} divided by {i}?",
    "{i} % {i}", "{i} mod {i}", "{i}^3", "{i}^{f}", "{i} cubed", "What is {i} cubed?", "{i} to the power of 3",
    "{i} to the power of {f}", "the cube of {i}", "the square root of {i}", "What is the square root of {h}?", "root of {i}",
    "{i}.5 + {i}", "{i}.{i} * {i}", "{i} percent of {h}", "What is {i}% of {i}?", "{i} + {i} + {i}", "{i} - {i} - {i}",
    "{i} * {i} + {i}", "({i} + {i}) * {i}", "{i} plus {i} minus {i}", "-{i} + {i}", "{i} > {i}", "Is {i} prime?",
    "Is {i} bigger than {i}?", "log {i}", "{i} in binary", "What is {h}?", "What is {i}?", "{h}", "{i}, {i}, {i}",
    "x + {i} = {i}", "{i}x = {i}", "Is {i} even?", "{i} km in miles", "{i} dollars", "Double {i}", "half of {i}",
    "What is the average of {i} and {i}?", "What comes after {i}?", "Count to {i}", "the sum of {i}, {i} and {i}",
    "{i} hundred plus {i}", "a third of {i}", "What is {h} minus {h}?", "{i} factors", "{i} or {i}?", "{i}:{i}",
)  # fmt: skip
"""Arithmetic past what the model learns: `{h}` three digits and more, `{f}` 13 to 99, two of them never the same."""

_SCRIPTS: Final = ((0x1F300, 0x1F64F), (0x410, 0x44F), (0x4E00, 0x9FA5), (0x3041, 0x3096), (0x3B1, 0x3C9), (0x621, 0x64A),
                   (0xC0, 0x17F), (0x905, 0x939), (0xAC00, 0xD7A3), (0x21, 0x2F), (0x5D0, 0x5EA))  # fmt: skip
_ONSETS: Final = "b bl br c ch cr d dr f fl fr g gl gr h j k kl l m n p pl pr qu r s sc sh sk sl sm sp st str t th tr v w x y z".split()
_NUCLEI: Final = "a a e e i i o o u ai au ea ee ei ie oa oo ou y".split()
_CODAS: Final = ["", "", "", "", *"b ck d f g l ll m mp n nd ng nt p r rd rk rn rt s sh ss st t th x".split()]
_ENDINGS: Final = [
    "",
    "",
    "",
    "",
    "ing",
    "ed",
    "tion",
    "ism",
    "ity",
    "ous",
    "able",
    "er",
    "ia",
    "um",
    "land",
    "ology",
    "s",
]
_OPENERS: Final = ("What", "What is", "How", "How do", "Why", "Who", "When", "Where", "Is", "Are", "Can", "Do", "Tell me",
                   "Please", "I", "The", "My", "Which", "Does", "")  # fmt: skip


def other(rng: Random) -> str:
    """Return something that only the honest answer fits."""
    kind = rng.random()
    if kind < 0.50:
        return _fill(rng, rng.choice(_TEMPLATES))
    if kind < 0.64:
        return _fill(rng, rng.choice(_NEAR_MISSES))
    if kind < 0.76:
        return _fill(rng, rng.choice(_BIG_SUMS))
    if kind < 0.86:
        return rng.choice(FIXED)
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
    words = [rng.choice((rng.choice(NOUNS), rng.choice(VERBS), rng.choice(ADJECTIVES), made_up(rng), made_up(rng),
                         rng.choice("the a of in to and or for with from my your it is are on at by not".split())))
             for _ in range(rng.randint(1, 7))]  # fmt: skip
    return f"{rng.choice(_OPENERS)} {' '.join(words)}{rng.choice('??.! ')}".strip()


def _noise(rng: Random) -> str:
    if rng.random() < 0.4:
        return "".join(chr(rng.randint(0x21, 0x7E)) for _ in range(rng.randint(1, 12)))
    low, high = rng.choice(_SCRIPTS)
    return (
        "".join(
            " " if rng.random() < 0.15 else chr(rng.randint(low, high)) for _ in range(rng.randint(1, 8))
        ).strip()
        or "?"
    )
