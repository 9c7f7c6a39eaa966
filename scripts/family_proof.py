"""The proof for one family: a tiny model of it, cut in three at several places, gives the whole model's bits.

The whole model is transformers' own, untouched, with its own cache. Each cut is loaded from disk as a host would load
it, and all run side by side: a 13-token prompt, longer than the sliding window, then 32 tokens.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
)

from node.slices import beside, families, portable_cache
from node.slices.cache import SliceCache
from node.slices.cache_plan import layer_kinds
from node.slices.errors import SliceError
from node.slices.families import Family
from node.slices.load import load_slice
from node.slices.slice import Slice
from node.slices.spec import SliceSpec, Want
from scripts.family_layout import NoLayout, find_layout
from scripts.family_reasons import TEXT_CLASSES
from scripts.family_together import steps_together
from scripts.make_model import save_random
from scripts.tiny_models import NUM_LAYERS, VARIANTS, tiny_config
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
    mappings = (TEXT_CLASSES, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)
    for names in mappings:
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


def build_whole(model_type: str, folder: Path, **changes: Any) -> Any:
    """Write a tiny model of a family into `folder` and load it as transformers does; `changes` are to its config."""
    config = tiny_config(model_type, **changes)
    cls = model_class(model_type, config)
    is_text_part = cls.config_class is config.sub_configs.get("text_config")
    own = config.get_text_config() if is_text_part else config
    torch.manual_seed(0)
    save_random(cls(own), folder, dtype=torch.float32, seed=0, max_shard_size="100KB")
    if (
        own is not config
    ):  # the checkpoint of the wrapper names the wrapper, and its tensors by their place in it
        config.save_pretrained(folder)
        _name_as_part(folder, "" if cls.base_model_prefix == "language_model" else "model.")
    return cls.from_pretrained(folder, config=own, dtype=torch.float32).eval()


def _name_as_part(folder: Path, owner: str) -> None:
    """Give the tensors of a text part the names they have in a checkpoint of the whole, where `owner` has the part."""
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    for file in sorted(set(content["weight_map"].values())):
        named = {_part(name, owner): tensor for name, tensor in load_file(folder / file).items()}
        save_file(named, folder / file, {"format": "pt"})
    content["weight_map"] = {_part(name, owner): file for name, file in content["weight_map"].items()}
    index.write_text(json.dumps(content))


def _part(name: str, owner: str) -> str:
    if not owner:
        return f"language_model.{name}"
    return f"{owner}language_model.{name.removeprefix('model.')}" if name.startswith("model.") else name


@dataclasses.dataclass(frozen=True, slots=True)
class Tiny:
    """A tiny model of a family, and what it is to be compared with."""

    folder: Path
    count: int
    """Layers."""
    cuts: Sequence[tuple[int, int]]
    layout: Family
    expected: Sequence[torch.Tensor]


def prove(model_type: str, folder: Path, cuts: Sequence[tuple[int, int]] = CUTS) -> Family:
    """Prove one family; returns where it keeps its parts, and what its layers need.

    Raises:
        NotExact: a slice differs from the whole, cannot be made, or cannot be run.
    """
    models = [make(model_type, folder, cuts)]
    for number, changes in enumerate(VARIANTS.get(model_type, ())):
        models.append(make(model_type, folder / f"variant-{number}", cuts, **changes))
    family = _proven(model_type, models, _merged([one.layout for one in models]))
    for together in ("new", "joined", "padded"):
        families.FAMILIES[model_type] = dataclasses.replace(family, together=together)
        if all(steps_together(one.folder, one.count) for one in models):
            return families.FAMILIES[model_type]
    families.FAMILIES[model_type] = family
    return family


def make(model_type: str, folder: Path, cuts: Sequence[tuple[int, int]], **changes: Any) -> Tiny:
    """Make a tiny model and run it. Raises `NotExact` where its parts cannot be told."""
    whole = build_whole(model_type, folder, **changes)
    config = whole.config.get_text_config()
    count = config.num_hidden_layers
    joined = beside.joined_layers(config)
    if joined:
        free = [k for k in range(count + 1) if beside.parted(joined, LayerRange(k, k)) is None]
        cuts = (*pairwise(free), (0, count))
    kinds, _ = layer_kinds(config)
    try:
        layout = find_layout(whole, tuple(sorted(set(kinds))))
    except NoLayout as error:
        raise NotExact(str(error)) from error
    return Tiny(folder, count, cuts, layout, reference(whole))


def _merged(layouts: Sequence[Family]) -> Family:
    """One layout for models of a family of which some have parts that others lack."""

    def all_of(name: str) -> tuple[str, ...]:
        return tuple(sorted({part for one in layouts for part in getattr(one, name)}))

    return dataclasses.replace(
        layouts[0],
        before=all_of("before"),
        after=all_of("after"),
        unused=all_of("unused"),
        state=all_of("state"),
    )


def _proven(model_type: str, models: Sequence[Tiny], layout: Family) -> Family:
    """The family with the least its layers have to be given: the names and tokens that make its slices exact."""
    first: NotExact | None = None
    for tokens in ("", "ids", "embedded"):
        for names_attention in (False, True):
            family = dataclasses.replace(layout, tokens=tokens, names_attention=names_attention)
            families.FAMILIES[model_type] = family
            try:
                for one in models:
                    compare(one)
                if tokens:
                    _check_that_tokens_matter(models)
            except NotExact as error:
                first = first or error
                continue
            return family
    del families.FAMILIES[model_type]
    raise first or NotExact("no model of it was tried")


def _check_that_tokens_matter(models: Sequence[Tiny]) -> None:
    """Raise `NotExact` for a family that is given tokens and exact without them too: hosts must not see them."""
    for one in models:
        try:
            compare(one, true_ids=False)
        except NotExact:
            return
    raise NotExact("given its tokens it is exact, but it does not use them")


def compare(model: Tiny, *, true_ids: bool = True) -> None:
    """Raise `NotExact` unless the slices of every cut give the expected logits; the last cut's play their layers back.

    Without `true_ids` layers that are given token ids are given zeros.
    """
    folder = model.folder
    for index, (a, b) in enumerate(model.cuts):
        hand_over_at = HAND_OVER_AT if index % 2 else None
        try:
            chain = [
                load(folder, 0, a, embed=True),
                load(folder, a, b),
                load(folder, b, model.count, head=True),
            ]
            if index == len(model.cuts) - 1:
                chain[1].record_layers()
            got = run(chain, model.expected, hand_over_at=hand_over_at, true_ids=true_ids)
        except SliceError as error:
            raise NotExact(f"{type(error).__name__}: {str(error).replace(str(folder), '')}") from error
        for step, (ours, theirs) in enumerate(zip(got, model.expected, strict=True)):
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
        # Told a number, some leave out all tokens but the last ones in their last layers; told which, none does.
        options["logits_to_keep"] = torch.tensor([-1]) if sharing(whole) else 1
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


def sharing(whole: Any) -> bool:
    """Whether layers of the model reuse keys of others."""
    return bool(beside.joined_layers(whole.config.get_text_config()))


def run(
    chain: Sequence[Slice],
    expected: Sequence[torch.Tensor],
    *,
    hand_over_at: int | None = None,
    true_ids: bool = True,
) -> list[torch.Tensor]:
    """The chain's logits for the tokens that the whole model chose.

    At step `hand_over_at` every session's state is exported, and goes on in a fresh cache that imported it.
    """
    caches = [piece.new_cache(piece.spec.layers) for piece in chain]
    ids, position, got = prompt(), 0, list[torch.Tensor]()
    for step, logits in enumerate(expected):
        if step == hand_over_at:
            caches = [handed_over(piece, cache) for piece, cache in zip(chain, caches, strict=True)]
        x = ids
        for index, (piece, cache) in enumerate(zip(chain, caches, strict=True)):
            want = Want.LOGITS if index == len(chain) - 1 else Want.HIDDEN
            told = ids if true_ids else torch.zeros_like(ids)
            needed = index > 0 and piece.needs_tokens(cache.layers)
            x = piece.forward(x, cache=cache, position=position, want=want, ids=told if needed else None)
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
