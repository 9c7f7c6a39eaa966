"""What fewer bits cost: logits, best tokens and perplexity of each weight format against float32, on a text.

    python -m scripts.quality                                   # the pocket model, on chats it was not trained on
    python -m scripts.quality --model ~/models/qwen --text notes.txt --weights int8 int4-32

Every position's logits come from the model reading the text one token at a time, as it does while it answers. The
*relative error* is the norm of the difference over the norm of float32's logits, over all positions together; *of
rounding* is the same against native weights in bfloat16, which is what the format alone changes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from node.slices import threads
from node.store import checkpoint
from wire.tensors import WeightFormat

if TYPE_CHECKING:
    import torch

POCKET_SEED: Final = 90_001
"""Of the chats the pocket model is measured on; its training draws from another."""
WINDOW_TOKENS: Final = 256


@dataclass(frozen=True, slots=True)
class Quality:
    """One format against the reference."""

    weights: str
    bytes: int
    relative_error: float
    relative_error_of_rounding: float
    top1_agreement: float
    perplexity: float
    reference_perplexity: float


def windows(model: str, folder: Path, text: Path | None, tokens: int) -> Iterator[list[int]]:
    """The ids of the text, in windows that are read from an empty cache."""
    from chat.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(folder)
    if text is None and model != checkpoint.POCKET:
        raise SystemExit("name a text with --text; only the pocket model brings its own")
    pieces: Iterator[list[int]]
    if text is None:
        pieces = _chats(folder)
    else:
        ids = tokenizer.encode(text.read_text(encoding="utf-8"))
        pieces = (list(ids[at : at + WINDOW_TOKENS]) for at in range(0, len(ids), WINDOW_TOKENS))
    for piece in pieces:
        if tokens < 2:
            return
        yield piece[:tokens]
        tokens -= len(piece)


def logits(
    folder: Path, read: Sequence[list[int]], dtype: str, weights: WeightFormat
) -> tuple[torch.Tensor, int]:
    """The logits `[N, V]` after every token but each window's last, and the bytes of the weights."""
    from node.slices import quality
    from node.slices.facts import read_facts
    from node.slices.quality import Reader

    return quality.logits(
        Reader(folder=folder, num_layers=read_facts(folder).num_layers, dtype=dtype, weights=weights), read
    )


def compare(
    weights: WeightFormat,
    got: torch.Tensor,
    exact: torch.Tensor,
    native: torch.Tensor,
    following: Sequence[int],
    nbytes: int,
) -> Quality:
    """The figures of one format; `following` holds the token that comes after each position."""
    from node.slices import quality

    return Quality(
        weights=weights.value,
        bytes=nbytes,
        relative_error=quality.relative_error(got, exact),
        relative_error_of_rounding=quality.relative_error(got, native),
        top1_agreement=quality.top1_agreement(got, exact),
        perplexity=quality.perplexity(got, following),
        reference_perplexity=quality.perplexity(exact, following),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=checkpoint.POCKET, help="`pocket` (default), or a folder")
    parser.add_argument("--text", type=Path, metavar="FILE", help="a text in UTF-8 to read")
    parser.add_argument("--tokens", type=int, default=600, help="how many tokens of it (default 600)")
    parser.add_argument(
        "--weights",
        nargs="+",
        type=WeightFormat,
        default=list(WeightFormat),
        metavar="FORMAT",
        help="formats to measure (default all)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    arguments = parser.parse_args()
    threads.prepare()
    threads.apply()
    folder = checkpoint.resolve(arguments.model)
    read = list(windows(arguments.model, folder, arguments.text, arguments.tokens))
    following = [token for ids in read for token in ids[1:]]
    if not following:
        raise SystemExit("the text holds no two tokens")
    print(f"reading {len(following)} tokens in float32 ...", file=sys.stderr)
    exact, _ = logits(folder, read, "float32", WeightFormat.NATIVE)
    native: torch.Tensor | None = None
    for weights in [
        WeightFormat.NATIVE,
        *(one for one in arguments.weights if one is not WeightFormat.NATIVE),
    ]:
        got, nbytes = logits(folder, read, "bfloat16", weights)
        native = got if native is None else native
        found = compare(weights, got, exact, native, following, nbytes)
        if arguments.json:
            print(json.dumps(asdict(found)), flush=True)
        else:
            print(
                f"{found.weights:9s} {found.bytes / 1e6:8.1f} MB  relative error {found.relative_error:.4f} "
                f"(of rounding {found.relative_error_of_rounding:.4f})  same best token "
                f"{100 * found.top1_agreement:.1f} %  perplexity {found.perplexity:.4f} "
                f"(float32 {found.reference_perplexity:.4f})",
                flush=True,
            )


def _chats(folder: Path) -> Iterator[list[int]]:
    """Chats of the pocket model's kind, drawn from a seed of their own."""
    from transformers import AutoTokenizer

    from scripts.pocket.corpus import Corpus

    tokenizer = AutoTokenizer.from_pretrained(folder)
    for one in islice(Corpus(POCKET_SEED).exchanges(), 10_000):
        chat = [{"role": "user", "content": one.question}, {"role": "assistant", "content": one.answer}]
        text = tokenizer.apply_chat_template(chat, tokenize=False)
        yield list(tokenizer(text, add_special_tokens=False)["input_ids"])


if __name__ == "__main__":
    main()
