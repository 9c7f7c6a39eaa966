"""The proof for one family: a tiny model of it, cut in three at several places, gives the whole model's bits.

The whole model is transformers' own, untouched, with its own cache. Each cut is loaded from disk as a host would load
it, and all run side by side: a 13-token prompt, longer than the sliding window, then 32 tokens.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
)

from node.slices import families, portable_cache
from node.slices.cache import SliceCache
from node.slices.cache_plan import layer_kinds
from node.slices.errors import SliceError
from node.slices.families import Family
from node.slices.load import load_slice
from node.slices.slice import Slice
from node.slices.spec import SliceSpec, Want
from scripts.family_layout import NoLayout, find_layout
from scripts.family_together import steps_together
from scripts.make_model import save_random
from scripts.tiny_models import NUM_LAYERS, tiny_config
from wire.types import LayerRange

PROMPT_TOKENS: Final = 13
NEW_TOKENS: Final = 32
CUTS: Final = ((1, 3), (2, 4), (0, NUM_LAYERS))
"""Where the middle slice begins and ends; the last leaves both ends without a layer."""

HAND_OVER_AT: Final = NEW_TOKENS - 8
"""In every second cut the sessions' state is exported at this step, and the rest runs from an import of it."""

Row = dict[str, Any]


class NotExact(Exception):
    """The slices of this family are not proven equal to the whole."""


def model_class(model_type: str, config: Any) -> Any:
    """transformers' class for text of a family. Raises `NotExact` where there is none."""
    for names in (MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES):
        if model_type in names:
            package = type(config).__module__.rpartition(".")[0]
            for place in (f"{package}.modeling_{package.rpartition('.')[2]}", "transformers"):
                try:
                    cls = getattr(importlib.import_module(place), names[model_type], None)
                except ImportError:
                    continue
                if cls is not None:
                    return cls
    raise NotExact("transformers has no class that generates text for it")


def build_whole(model_type: str, folder: Path) -> Any:
    """Write a tiny model of a family into `folder` and load it as transformers does."""
    config = tiny_config(model_type)
    cls = model_class(model_type, config)
    is_text_part = cls.config_class is config.sub_configs.get("text_config")
    own = config.get_text_config() if is_text_part else config
    torch.manual_seed(0)
    save_random(cls(own), folder, dtype=torch.float32, seed=0, max_shard_size="100KB")
    if own is not config:  # the checkpoint of the wrapper names the wrapper
        config.save_pretrained(folder)
    return cls.from_pretrained(folder, config=own, dtype=torch.float32).eval()


def prove(model_type: str, folder: Path, cuts: Sequence[tuple[int, int]] = CUTS) -> Family:
    """Prove one family; returns where it keeps its parts.

    Raises:
        NotExact: a slice differs from the whole, cannot be made, or cannot be run.
    """
    whole = build_whole(model_type, folder)
    kinds, _ = layer_kinds(whole.config.get_text_config())
    try:
        family = find_layout(whole, tuple(sorted(set(kinds))))
    except NoLayout as error:
        raise NotExact(str(error)) from error
    count = whole.config.get_text_config().num_hidden_layers
    expected = reference(whole)
    families.FAMILIES[model_type] = family
    try:
        _compare(folder, count, expected, cuts)
    except NotExact:
        family = dataclasses.replace(family, names_attention=True)
        families.FAMILIES[model_type] = family
        _compare(folder, count, expected, cuts)
    for together in ("new", "joined"):
        families.FAMILIES[model_type] = dataclasses.replace(family, together=together)
        if steps_together(folder, count):
            return families.FAMILIES[model_type]
    families.FAMILIES[model_type] = family
    return family


def _compare(
    folder: Path, count: int, expected: Sequence[torch.Tensor], cuts: Sequence[tuple[int, int]]
) -> None:
    """Raise `NotExact` unless the slices of every cut give the expected logits."""
    for index, (a, b) in enumerate(cuts):
        hand_over_at = HAND_OVER_AT if index % 2 else None
        try:
            chain = [
                load(folder, 0, a, embed=True),
                load(folder, a, b),
                load(folder, b, count, head=True),
            ]
            ranges = [piece.spec.layers for piece in chain]
            got = run(chain, ranges, expected, hand_over_at=hand_over_at)
        except SliceError as error:
            raise NotExact(f"{type(error).__name__}: {str(error).replace(str(folder), '')}") from error
        for step, (ours, theirs) in enumerate(zip(got, expected, strict=True)):
            if not torch.equal(ours, theirs):
                difference = (ours - theirs).abs().max().item()
                raise NotExact(f"cut at {a} and {b} its logits differ by {difference:.3g} at step {step}")


def load(folder: Path, start: int, end: int, *, embed: bool = False, head: bool = False) -> Slice:
    """Load a slice of the checkpoint in `folder` in float32."""
    layers = LayerRange(start, end)
    return load_slice(SliceSpec(checkpoint=folder, layers=layers, embed=embed, head=head, dtype="float32"))


def prompt() -> torch.Tensor:
    """Token ids `[1, 13]`."""
    return torch.randint(3, 131, (1, PROMPT_TOKENS), generator=torch.Generator().manual_seed(5))


def reference(whole: Any) -> list[torch.Tensor]:
    """The whole model's logits `[V]` for the last prompt token and 32 greedy ones."""
    names = inspect.signature(whole.forward).parameters
    cache_name = "cache_params" if "cache_params" in names else "past_key_values"
    options: dict[str, Any] = {"use_cache": True}
    if "logits_to_keep" in names:
        options["logits_to_keep"] = 1
    ids, seen, cache, position = prompt(), list[torch.Tensor](), None, 0
    for _ in range(1 + NEW_TOKENS):
        if (
            "position_ids" in names
        ):  # as transformers' own `generate` does; some forwards would count from 0 again
            options["position_ids"] = torch.arange(position, position + ids.shape[1]).unsqueeze(0)
        with torch.inference_mode():
            out = whole(input_ids=ids, **{cache_name: cache}, **options)
        position += ids.shape[1]
        cache = getattr(out, cache_name)
        seen.append(out.logits[0, -1].float())
        ids = seen[-1].argmax().view(1, 1)
    if not all(torch.isfinite(logits).all() for logits in seen):
        raise NotExact("the tiny model's logits are not finite")
    return seen


def run(
    chain: Sequence[Slice],
    ranges: Sequence[LayerRange],
    expected: Sequence[torch.Tensor],
    *,
    hand_over_at: int | None = None,
) -> list[torch.Tensor]:
    """The chain's logits for the tokens that the whole model chose.

    At step `hand_over_at` every session's state is exported, and goes on in a fresh cache that imported it.
    """
    caches = [piece.new_cache(layers) for piece, layers in zip(chain, ranges, strict=True)]
    ids, position, got = prompt(), 0, list[torch.Tensor]()
    for step, logits in enumerate(expected):
        if step == hand_over_at:
            caches = [handed_over(piece, cache) for piece, cache in zip(chain, caches, strict=True)]
        x = ids
        for index, (piece, cache) in enumerate(zip(chain, caches, strict=True)):
            want = Want.LOGITS if index == len(chain) - 1 else Want.HIDDEN
            x = piece.forward(x, cache=cache, position=position, want=want)
        got.append(x)
        position += ids.shape[1]
        ids = logits.argmax().view(1, 1)
    return got


def handed_over(piece: Slice, cache: SliceCache) -> SliceCache:
    """A fresh cache that goes on from the exported state of another."""
    fresh = piece.new_cache(cache.layers)
    portable_cache.import_(fresh, portable_cache.export(cache, "tiny"), "tiny")
    return fresh


def row_of(family: Family) -> Row:
    """The family's row in the table: what differs from the usual, and the verdict."""
    row: Row = {"verdict": "exact"}
    for field in dataclasses.fields(family):
        value = getattr(family, field.name)
        if field.default is dataclasses.MISSING or value != field.default or field.name == "state":
            row[field.name] = list(value) if isinstance(value, tuple) else value
    return row
