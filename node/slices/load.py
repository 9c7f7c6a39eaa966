"""Loads a slice: a checkpoint's folder and a `SliceSpec` become a `Slice`. Call it on the compute thread.

The family's model with holes is filled by transformers' own `from_pretrained`, from a dict of tensors that read
themselves from disk when they are wanted; so its conversions (per-expert to fused weights), its dtype rules and its
buffers are those of the whole model. A tensor that is missing would be filled with random numbers: it is an error here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import torch
from transformers.utils import logging as transformers_logging

from node.slices import (
    adapters,
    beside,
    build,
    build_untied,
    cache_plan,
    coded_weights,
    device,
    families,
    memory,
    names,
    threads,
)
from node.slices.coded_weights import Source
from node.slices.errors import BadCheckpoint, InvalidSlice, MissingTensor, UnsupportedModel
from node.slices.facts import read_note
from node.slices.families import Family
from node.slices.kernels import inner, pack
from node.slices.kernels.coded import Rows
from node.slices.slice import Slice
from node.slices.spec import CPU, SliceSpec
from node.slices.weights import Weights

MAX_UNBACKED_ELEMENTS: Final = 1 << 24
"""Security limit: parameters a config may ask for beyond those on disk. transformers fills what it misses with random
numbers before we see the list of it, so a config must not make it fill all memory."""
MAX_TABLE_BYTES: Final = 1 << 30
"""Security limit: masks and rotary tables that a config may ask for; some families make them as large as the square of
the context."""

_ONE_AT_A_TIME: Final = threading.Lock()
"""transformers patches its own classes while it loads; two threads at once would leave the patches behind."""


def load_slice(spec: SliceSpec, *, progress: Callable[[float], None] | None = None) -> Slice:
    """Load the layers and ends that `spec` names, reading only their tensors.

    Args:
        progress: told the part done, from 0 to 1, after each tensor, on this thread.

    Raises:
        UnsupportedModel: the family is not one whose slices are proven exact.
        InvalidSlice: the model does not have these layers, its folder holds other weights, or the device is not
            there or cannot hold them.
        BadCheckpoint: the files are damaged or incomplete; the message names file and tensor.
    """
    device.opened(spec.device)
    note = read_note(spec.checkpoint)
    if note is not None and note.weights is not spec.weights:
        raise InvalidSlice(
            f"{spec.checkpoint} holds {note.weights.value} weights, not {spec.weights.value}; leave the weights out, "
            "or give the checkpoint that it was quantised from"
        )
    if note is not None and spec.device != CPU:
        raise InvalidSlice(
            f"{spec.checkpoint} was quantised ahead of time, which only --device cpu can use so far; give the "
            "checkpoint that it was quantised from, with --weights"
        )
    filled = fill(spec, coded=note is not None, progress=progress)
    # Not as the model has it: transformers calls a model's dtype that of its first parameter, whichever that is.
    embeds = spec.embed or filled.family.tokens == "embedded"
    if spec.device != CPU:
        device.place(filled.model, spec, embed=embeds)
    elif spec.dtype == "bfloat16":
        widen = filled.crossing.rounds_to is not None
        pack.pack(filled.model, spec.weights, embed=embeds, widen=widen)
    for tensor in filled.model.parameters():
        if isinstance(tensor, Rows):
            origin = min(tensor.origins)
            raise BadCheckpoint(origin.path, "is quantised, but is not packed", tensor=origin.name)
    build.close_positions(filled.model, filled.family, spec.layers, filled.crossing)
    loaded = Slice(spec, filled.family, filled.model, filled.crossing)
    if spec.dtype == "bfloat16":
        loaded.record_layers()
    memory.give_back()
    if progress is not None:
        progress(1.0)
    return loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A family's own model with holes, and its weights as transformers loaded them."""

    family: Family
    model: Any
    crossing: build.Crossing
    names: names.Names
    sources: Mapping[str, Source]
    """Where the weights came from, by their names on disk."""


def fill(
    spec: SliceSpec,
    *,
    coded: bool = False,
    untied: bool = False,
    present: Callable[[Mapping[str, Source], Family], Mapping[str, Any]] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Filled:
    """Make the model of a slice and fill it.

    Args:
        coded: whether the checkpoint is quantised.
        untied: the head has a weight of its own among the tensors, whatever the config says.
        present: gives transformers other tensors than those on disk, by the same names; they index to tensors.

    Raises: see `load_slice`.
    """
    done = 0

    def on_read(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(min(1.0, done / total))

    found = _find(spec, coded=coded, untied=untied, on_read=on_read)
    family, config, cls, on_disk = found.family, found.config, found.cls, found.names
    parts = names.Parts(layers=spec.layers, embed=spec.embed, head=spec.head)
    crossing = build.Crossing(family.streams, rounds_to=torch.bfloat16 if found.widen else None)
    total = max(1, found.weights.nbytes)
    sources: Mapping[str, Source] = found.weights.tensors
    if coded:
        sources = coded_weights.gather(found.weights.tensors, pack.GROUPS.get(spec.weights))
    for name, tensor in sources.items():
        if on_disk.is_unknown(name):
            raise BadCheckpoint(tensor.path, f"is no part of a {config.model_type} model", tensor=name)

    shown = present(sources, family) if present is not None else sources

    def check(model: Any) -> None:
        asked, there = build.untied_elements(model), coded_weights.elements(shown)
        if asked > there + MAX_UNBACKED_ELEMENTS:
            problem = f"asks for {asked} parameters in these layers, the files have {there}"
            raise BadCheckpoint(spec.checkpoint / "config.json", problem)
        tables = sum(buffer.nbytes for buffer in model.buffers())
        if tables > MAX_TABLE_BYTES:
            problem = f"asks for {tables} bytes of tables that are computed, more than {MAX_TABLE_BYTES}"
            raise BadCheckpoint(spec.checkpoint / "config.json", problem)

    model = _fill(build.holed_class(cls, family, parts, crossing, check), config, spec, shown)
    bad = adapters.bad_table(model)
    if bad is not None:
        raise BadCheckpoint(spec.checkpoint, "names experts that there are not", tensor=bad)
    return Filled(family=family, model=model, crossing=crossing, names=on_disk, sources=sources)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What a checkpoint has for a slice, before any weight is read."""

    family: Family
    config: Any
    cls: Any
    names: names.Names
    weights: Weights
    widen: bool
    """Whether layers compute in float32 inside, where the slice is bfloat16."""


def _find(spec: SliceSpec, *, coded: bool, untied: bool, on_read: Callable[[int], None]) -> _Found:
    family, config = families.load_config(spec.checkpoint)
    text = config.get_text_config()
    spec.check(text.num_hidden_layers, beside.joined_layers(text))
    cache_plan.check_kinds(text, family.state)
    cls = families.causal_class(family)
    if untied or (coded and _has_own_head(spec, family)):
        cls = build_untied.untied_class(cls, family)
    parts = names.Parts(layers=spec.layers, embed=spec.embed, head=spec.head)
    whole = outline(cls, config, spec)
    on_disk = names.Names(whole, family)

    def wanted(name: str) -> bool:
        return on_disk.needed(name, parts) or (coded and on_disk.needed(coded_weights.base_name(name), parts))

    return _Found(
        family=family,
        config=config,
        cls=cls,
        names=on_disk,
        weights=Weights(
            spec.checkpoint, wanted=wanted, on_read=on_read, codes=coded, is_table=on_disk.is_table
        ),
        widen=spec.device == CPU and spec.dtype == "bfloat16" and inner.suits(whole),
    )


def wanted_tensors(spec: SliceSpec) -> tuple[str, ...]:
    """The names on disk of the tensors that a slice is made of; no weight needs to be there yet.

    Raises: see `load_slice`.
    """
    coded = read_note(spec.checkpoint) is not None
    found = _find(spec, coded=coded, untied=False, on_read=lambda _count: None)
    return tuple(found.weights.tensors)


def _has_own_head(spec: SliceSpec, family: Family) -> bool:
    """Whether the head of a quantised checkpoint is there as codes, also where it shares the embedding's weights."""
    name = f"{family.head}.weight"
    found = Weights(
        spec.checkpoint,
        wanted=lambda disk_name: coded_weights.base_name(disk_name) == name,
        on_read=lambda _count: None,
        codes=True,
    )
    return bool(found.tensors)


def outline(cls: Any, config: Any, spec: SliceSpec) -> Any:
    """The whole model on the meta device, where it has names and shapes and takes no memory."""
    try:
        with torch.device("meta"):
            return cls(config)
    except (
        RuntimeError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        IndexError,
        ArithmeticError,
    ) as error:
        raise BadCheckpoint(
            spec.checkpoint / "config.json", f"does not describe a {config.model_type} ({error})"
        ) from error


def _fill(cls: Any, config: Any, spec: SliceSpec, tensors: Mapping[str, Any]) -> Any:
    """Build the model and give it its weights; anything short of complete is an error."""
    threads.load_on_this_thread()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with _ONE_AT_A_TIME:
            model, info = cls.from_pretrained(
                None,
                config=config,
                state_dict=dict(tensors),
                dtype=getattr(torch, spec.dtype),
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                local_files_only=True,
            )
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise BadCheckpoint(spec.checkpoint, f"its tensors do not fit its config ({error})") from error
    for name, stored, expected in sorted(info["mismatched_keys"]):
        path = tensors[name].path if name in tensors else spec.checkpoint
        raise BadCheckpoint(
            path, f"has shape {list(stored)}, the config asks for {list(expected)}", tensor=name
        )
    for name in sorted(info["missing_keys"]):
        raise MissingTensor(spec.checkpoint, "is in none of its files", tensor=name)
    if info["error_msgs"]:
        raise BadCheckpoint(spec.checkpoint, str(info["error_msgs"][0]))
    if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        raise UnsupportedModel(config.model_type, "parts of it were left without values")
    return cast(Any, model.eval().requires_grad_(False))
