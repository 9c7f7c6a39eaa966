#!/usr/bin/env python3
"""Trains, exports and measures the pocket model that ships in `node/pocket/`; see `scripts/pocket/`.

    python scripts/train_pocket.py                    train, export, measure, write the card
    python scripts/train_pocket.py --evaluate-only    measure what is in --out and write its card again

An interrupted training goes on where it stopped when it is started again with the same options.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.pocket import card, evaluate
from scripts.pocket.corpus import Corpus, plain
from scripts.pocket.export import export, read_record
from scripts.pocket.model import Shape
from scripts.pocket.questions import UNSEEN_OTHERS
from scripts.pocket.tokenizer import train_tokenizer
from scripts.pocket.train import Recipe, train

ROOT = Path(__file__).resolve().parent.parent
COMPARED_EXCHANGES = 200_000
SHOWN_MISTAKES = 8
CYCLES = (700, 500, 350)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script; return 0 when the model reaches what it has to."""
    options = _options(arguments)
    if not options.evaluate_only:
        recipe = Recipe(seed=options.seed, cycles=tuple(options.steps))
        tokenizer = train_tokenizer(Corpus(recipe.seed))
        print(f"tokenizer of {tokenizer.get_vocab_size()} tokens; training in {options.work}", flush=True)
        trained = train(
            recipe, tokenizer, options.work, workers=options.workers, save_every=options.save_every
        )
        training = card.Training(
            recipe=recipe,
            workers=options.workers,
            tokens=trained.tokens,
            wall_s=trained.wall_s,
            loss=trained.loss,
            cpu=card.cpu_name(),
            cores=os.cpu_count() or 1,
            torch_version=torch.__version__,
        )
        export(trained.model, tokenizer, options.out, record=training.to_json())
    training = card.Training.from_json(read_record(options.out))
    measured = _measure(options.out, Corpus(training.recipe.seed))
    _write(options.out / "README.md", card.card(training, measured))
    short = card.failures(measured)
    print("\n".join(f"falls short: {line}" for line in short) or "reaches everything it has to")
    return 1 if short else 0


def _measure(checkpoint: Path, corpus: Corpus) -> card.Measured:
    scores: dict[str, list[evaluate.Score]] = {}
    for dtype in (torch.float32, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        pocket = evaluate.Pocket(checkpoint, dtype)
        scores[name] = []
        for group, cases in evaluate.cases(corpus).items():
            found = evaluate.score(group, cases, pocket.would_say)
            scores[name].append(found)
            print(f"{name:8}  {found.percent:6.1f} %  {found.right}/{found.total}  {group}", flush=True)
            for case in found.wrong[:SHOWN_MISTAKES]:
                print(f"            {case.chat[-1]['content']!r} -> {pocket.say(case.chat)!r}")
    pocket, rounded = evaluate.Pocket(checkpoint, torch.float32), evaluate.Pocket(checkpoint, torch.bfloat16)
    shape = pocket.model.config
    probe = evaluate.Probe(corpus, pocket.tokenizer)
    rounding = evaluate.change(probe.logits(rounded.model), probe.logits(pocket.model))
    omissions = evaluate.omissions(pocket.model, probe)
    least = min(omissions, key=lambda omission: omission.change)
    print(f"least change with {evaluate.WINDOW} layers left out: {least.change:.3f} {least.layers}")
    words = {
        word
        for exchange in islice(corpus.exchanges(), COMPARED_EXCHANGES)
        for word in _words(exchange.question)
    }
    asked = [word for question in UNSEEN_OTHERS for word in _words(question)]
    return card.Measured(
        shape=Shape(
            vocab_size=shape.vocab_size,
            num_layers=shape.num_hidden_layers,
            hidden_size=shape.hidden_size,
            intermediate_size=shape.intermediate_size,
            num_heads=shape.num_attention_heads,
            num_kv_heads=shape.num_key_value_heads,
            head_dim=shape.head_dim,
            max_positions=shape.max_position_embeddings,
        ),
        parameters=sum(parameter.numel() for parameter in pocket.model.parameters()),
        size_bytes=sum(path.stat().st_size for path in checkpoint.iterdir() if path.name != "README.md"),
        scores=scores,
        omissions=omissions,
        rounding=rounding,
        unknown_words_percent=100 * sum(word not in words for word in asked) / len(asked),
        compared_exchanges=COMPARED_EXCHANGES,
    )


def _words(question: str) -> list[str]:
    spaced = "".join(character if character.isalpha() else " " for character in plain(question))
    return [word for word in spaced.split() if len(word) >= 4]


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.replace(path)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train, export and measure the pocket model.")
    parser.add_argument("--steps", type=int, nargs="+", default=CYCLES, help="optimiser steps of each cycle")
    parser.add_argument(
        "--seed", type=int, default=1, help="decides all text and the first weights (default: %(default)s)"
    )
    parser.add_argument(
        "--workers", type=int, default=2, help="training processes of one thread (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "node/pocket", help="the checkpoint's folder")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build/pocket", help="where the training state is kept"
    )
    parser.add_argument(
        "--save-every", type=int, default=100, help="steps between states (default: %(default)s)"
    )
    parser.add_argument("--evaluate-only", action="store_true", help="do not train; measure what is in --out")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
