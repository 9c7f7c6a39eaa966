"""Writes the model card from what was measured; every figure in it comes from the run that wrote it."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from scripts.pocket.corpus import KINDS, SHARES
from scripts.pocket.evaluate import Omission, Score
from scripts.pocket.facts import all_facts
from scripts.pocket.model import Shape
from scripts.pocket.text import whole
from scripts.pocket.train import BATCH_TOKENS, LONG_ROW, MEDIUM_ROW, SHORT_ROW, Recipe

REQUIRED_PERCENT: Final = 95.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What training took; the weights carry it, so that the card can be written again."""

    recipe: Recipe
    workers: int
    tokens: int
    wall_s: float
    loss: float
    cpu: str
    cores: int
    torch_version: str

    def to_json(self) -> str:
        """Return it as the record that the weights carry."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, record: str) -> Self:
        """Return what `to_json` wrote."""
        values = json.loads(record)
        return cls(**(values | {"recipe": Recipe.from_json(json.dumps(values["recipe"]))}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Everything one evaluation found."""

    shape: Shape
    parameters: int
    size_bytes: int
    scores: dict[str, list[Score]]
    """By dtype."""
    omissions: list[Omission]
    rounding: float
    """The change of the logits when the whole model runs in bf16 instead of float32; as an omission's change."""
    unknown_words_percent: float
    """Share of the words of the other questions that occur in none of the exchanges drawn for comparison."""
    compared_exchanges: int


def cpu_name() -> str:
    """Return the class of this machine's processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def card(training: Training, measured: Measured) -> str:
    """Return the model card."""
    text = whole("card.md").format(
        **asdict(measured.shape) | asdict(training.recipe),
        parameters=measured.parameters / 1e6,
        size_mb=measured.size_bytes / 1e6,
        num_facts=len({fact.answer for fact in all_facts()}),
        steps=training.recipe.steps,
        cycle_list=" ".join(map(str, training.recipe.cycles)),
        tokens=training.tokens / 1e6,
        batch_tokens=BATCH_TOKENS,
        short_row=SHORT_ROW,
        medium_row=MEDIUM_ROW,
        long_row=LONG_ROW,
        shares=_shares_table(len(training.recipe.cycles)),
        loss=training.loss,
        cores=training.cores,
        cpu=training.cpu,
        workers=training.workers,
        torch_version=training.torch_version,
        train_minutes=training.wall_s / 60,
        scores=_score_table(measured.scores),
        unknown_words=measured.unknown_words_percent,
        compared=measured.compared_exchanges,
        rounding=measured.rounding,
        omissions=_omission_table(measured.omissions),
    )
    return text.rstrip() + "\n"


def failures(measured: Measured) -> list[str]:
    """Return the scores that fall short of what the model has to reach."""
    return [
        f"{score.name} ({dtype}): {score.percent:.1f} %"
        for dtype, scores in measured.scores.items()
        for score in scores
        if score.percent < REQUIRED_PERCENT
    ]


def _shares_table(cycles: int) -> str:
    used = [SHARES[min(cycle, len(SHARES) - 1)] for cycle in range(cycles)]
    lines = [
        "| share of the exchanges | " + " | ".join(f"cycle {cycle + 1}" for cycle in range(cycles)) + " |"
    ]
    lines.append("|---|" + "---|" * cycles)
    for kind, *shares in zip(KINDS, *used, strict=True):
        lines.append(f"| {kind} | " + " | ".join(f"{share:.0%}" for share in shares) + " |")
    return "\n".join(lines)


def _score_table(scores: dict[str, list[Score]]) -> str:
    lines = ["| asked | cases | " + " | ".join(scores) + " |", "|---|---|" + "---|" * len(scores)]
    for row in zip(*scores.values(), strict=True):
        figures = " | ".join(f"{score.percent:.1f} %" for score in row)
        lines.append(f"| {row[0].name} | {row[0].total} | {figures} |")
    return "\n".join(lines)


def _omission_table(omissions: list[Omission]) -> str:
    windows = [omission for omission in omissions if omission.consecutive]
    changes = sorted(omission.change for omission in omissions if not omission.consecutive)
    least = min(omissions, key=lambda omission: omission.change)
    lines = ["| left out | change | same best token |", "|---|---|---|"]
    lines += [
        f"| {omission.layers[0]}-{omission.layers[-1]} | {omission.change:.2f} | {omission.same_token_percent:.0f} % |"
        for omission in windows
    ]
    lines += [
        "",
        f"{len(changes)} other sets of four, drawn at random: change {changes[0]:.2f} to {changes[-1]:.2f}, median",
        f"{changes[len(changes) // 2]:.2f}. The least of all sets measured is {least.change:.2f}, without layers",
        f"{', '.join(map(str, least.layers))}.",
    ]
    return "\n".join(lines)
