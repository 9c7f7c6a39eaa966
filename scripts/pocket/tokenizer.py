"""The pocket model's own tokenizer: byte-level BPE learned from the corpus, every digit a token of its own.

Any text encodes and comes back unchanged. A chat is ChatML: `<|im_start|>role`, a newline, the text, `<|im_end|>`, a
newline; the template that ships with the checkpoint writes exactly what training packs.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from scripts.pocket.corpus import Corpus

VOCAB_SIZE: Final = 1024
LEARNED_FROM: Final = 60_000
"""Exchanges the merges are learned from."""

PAD: Final = "<|endoftext|>"
START: Final = "<|im_start|>"
END: Final = "<|im_end|>"
SPECIAL: Final = (PAD, START, END)

CHAT_TEMPLATE: Final = (
    "{%- for message in messages -%}\n"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}\n"
    "{{- '<|im_start|>assistant\\n' -}}\n"
    "{%- endif -%}\n"
)

_WORDS: Final = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+\n?| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""GPT-2's split, but digits stand alone and a word takes the newline after it, so that a role line is one token."""


def train_tokenizer(corpus: Corpus) -> Tokenizer:
    """Return the tokenizer learned from the first exchanges of `corpus`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    learned_from = islice(corpus.exchanges(), LEARNED_FROM)
    tokenizer.train_from_iterator(
        (f"user\n{exchange.question}\nassistant\n{exchange.answer}" for exchange in learned_from), trainer
    )
    return tokenizer


def as_chat(messages: list[dict[str, str]]) -> str:
    """Return `messages` and the opening of the assistant's turn as one text."""
    turns = (f"{START}{message['role']}\n{message['content']}{END}\n" for message in messages)
    return "".join(turns) + f"{START}assistant\n"
