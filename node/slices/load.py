"""Loads a slice: a checkpoint's folder and a `SliceSpec` become a `Slice`. Call it on the compute thread.

The family's model with holes is filled by transformers' own `from_pretrained`, from a dict of tensors that read
themselves from disk when they are wanted; so its conversions (per-expert to fused weights), its dtype rules and its
buffers are those of the whole model. A tensor that is missing would be filled with random numbers: it is an error here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, cast

import torch
from transformers.utils import logging as transformers_logging

from node.slices import beside, build, cache_plan, families, names, threads
from node.slices.errors import BadCheckpoint, MissingTensor, UnsupportedModel
from node.slices.kernels import inner, pack
from node.slices.slice import Slice
from node.slices.spec import SliceSpec
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
        InvalidSlice: the model does not have these layers.
        BadCheckpoint: the files are damaged or incomplete; the message names file and tensor.
    """
    family, config = families.load_config(spec.checkpoint)
    spec.check(config.get_text_config().num_hidden_layers, beside.joined_layers(config.get_text_config()))
    cache_plan.check_kinds(config.get_text_config(), family.state)
    cls = families.causal_class(family)
    parts = names.Parts(layers=spec.layers, embed=spec.embed, head=spec.head)
    outline = _outline(cls, config, spec)
    on_disk = names.Names(outline, family)
    packs = spec.dtype == "bfloat16"
    widen = packs and inner.suits(outline)
    crossing = build.Crossing(family.streams, rounds_to=torch.bfloat16 if widen else None)
    done = 0

    def on_read(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(min(1.0, done / total))

    def wanted(name: str) -> bool:
        return on_disk.needed(name, parts)

    weights = Weights(spec.checkpoint, wanted=wanted, on_read=on_read)
    total = max(1, weights.nbytes)
    for name, tensor in weights.tensors.items():
        if on_disk.is_unknown(name):
            raise BadCheckpoint(tensor.path, f"is no part of a {config.model_type} model", tensor=name)

    def check(model: Any) -> None:
        asked = build.untied_elements(model)
        if asked > weights.elements + MAX_UNBACKED_ELEMENTS:
            problem = f"asks for {asked} parameters in these layers, the files have {weights.elements}"
            raise BadCheckpoint(spec.checkpoint / "config.json", problem)
        tables = sum(buffer.nbytes for buffer in model.buffers())
        if tables > MAX_TABLE_BYTES:
            problem = f"asks for {tables} bytes of tables that are computed, more than {MAX_TABLE_BYTES}"
            raise BadCheckpoint(spec.checkpoint / "config.json", problem)

    model = _fill(build.holed_class(cls, family, parts, crossing, check), config, spec, weights)
    if packs:
        embeds = spec.embed or family.tokens == "embedded"
        pack.pack(model, spec.weights, embed=embeds, widen=widen)
    build.close_positions(model, family, spec.layers, crossing)
    loaded = Slice(spec, family, model, crossing)
    if progress is not None:
        progress(1.0)
    return loaded


def _outline(cls: Any, config: Any, spec: SliceSpec) -> Any:
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


def _fill(cls: Any, config: Any, spec: SliceSpec, weights: Weights) -> Any:
    """Build the model and give it its weights; anything short of complete is an error."""
    threads.load_on_this_thread()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with _ONE_AT_A_TIME:
            model, info = cls.from_pretrained(
                None,
                config=config,
                state_dict=dict(weights.tensors),
                dtype=getattr(torch, spec.dtype),
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                local_files_only=True,
            )
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise BadCheckpoint(spec.checkpoint, f"its tensors do not fit its config ({error})") from error
    for name, stored, expected in sorted(info["mismatched_keys"]):
        path = weights.tensors[name].path if name in weights.tensors else spec.checkpoint
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
