"""Finds where a family keeps its parts, by watching one forward of a tiny model of it."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import nn

from node.slices.boundary import STREAMS_FIRST, STREAMS_INSIDE
from node.slices.families import Family

_TOKENS: Final = 7
"""Of the forward that is watched; as many as no family has streams."""


class NoLayout(Exception):
    """The model is not built in a way that slices know."""


def find_layout(model: Any, state: tuple[str, ...]) -> Family:
    """The family of a model, with what its forward was seen to do; `state` is what its layers keep.

    Raises:
        NoLayout: there is no single list of layers, or no embedding or head to speak of.
    """
    names = {module: name for name, module in model.named_modules()}
    embed = names.get(_embedding(model))
    head = names.get(model.get_output_embeddings())
    if embed is None or head is None:
        raise NoLayout("it has no token embedding or no head of its own")
    stack = _stack(model, embed)
    phases, extra_outputs, streams = _watch(model, stack)
    outside = {
        name
        for name, module in model.named_modules()
        if module._parameters and not _under(name, stack) and name not in (embed, head, "")
    }
    module = type(model).__module__.split(".")[2]
    return Family(
        module=module,
        class_name=type(model).__name__,
        stack=stack,
        embed=embed,
        head=head,
        before=tuple(sorted(name for name in outside if phases.get(name) == {"before"})),
        after=tuple(sorted(name for name in outside if phases.get(name) == {"after"})),
        unused=_tops({name for name in outside if name not in phases}, {stack, embed, head, *phases}),
        extra_outputs=extra_outputs,
        streams=streams,
        state=state,
    )


def _embedding(model: Any) -> Any:
    try:
        return model.get_input_embeddings()
    except AttributeError:  # llama4 looks for its text part where only the model that also sees has one
        return model.base_model.get_input_embeddings()


def _under(name: str, path: str) -> bool:
    return name == path or name.startswith(path + ".")


def _stack(model: Any, embed: str) -> str:
    count = model.config.get_text_config().num_hidden_layers
    lists = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count
    ]
    lists = [name for name in lists if not any(_under(name, other) and name != other for other in lists)]
    if len(lists) > 1:  # a tower beside the decoder: the decoder's list is nearest to the embedding
        owner = embed.rpartition(".")[0]
        lists = [name for name in lists if _under(name, owner)]
    if len(lists) != 1:
        raise NoLayout("its layers are not one list")
    return str(lists[0])


def _watch(model: Any, stack: str) -> tuple[dict[str, set[str]], int | None, int | None]:
    """When each module outside the layers ran: before them, inside or after; a layer's extra outputs and streams."""
    phase = "before"
    phases: dict[str, set[str]] = {}
    outputs: list[Any] = []
    layers = model.get_submodule(stack)

    def enter(*_: Any) -> None:
        nonlocal phase
        phase = "inside"

    def leave(_module: Any, _inputs: Any, out: Any) -> None:
        nonlocal phase
        phase = "after"
        outputs.append(out)

    def seen(name: str) -> Any:
        def note(*_: Any) -> None:
            phases.setdefault(name, set()).add(phase)

        return note

    hooks = [layers[0].register_forward_pre_hook(enter), layers[-1].register_forward_hook(leave)]
    for name, module in model.named_modules():
        if name and not _under(name, stack):
            hooks.append(module.register_forward_pre_hook(seen(name)))
    try:
        with torch.inference_mode():
            model(input_ids=torch.arange(5, 5 + _TOKENS).unsqueeze(0), use_cache=True)
    finally:
        for hook in hooks:
            hook.remove()
    if len(outputs) != 1:
        raise NoLayout("its layers do not run once each")
    is_tuple = isinstance(outputs[0], tuple)
    streams = _streams(outputs[0][0] if is_tuple else outputs[0])
    return phases, len(outputs[0]) - 1 if is_tuple else None, streams


def _streams(hidden_states: torch.Tensor) -> int | None:
    """Where a layer's output for a few tokens has several streams of hidden states, if it has.

    Raises:
        NoLayout: it is of no form that slices know.
    """
    counts = (1, _TOKENS)
    if hidden_states.dim() == 3:
        return None
    if hidden_states.dim() == 4 and hidden_states.shape[1:3] == counts:
        return STREAMS_FIRST
    if hidden_states.dim() == 4 and hidden_states.shape[:2] == counts:
        return STREAMS_INSIDE
    raise NoLayout("what passes between its layers is no list of hidden states")


def _tops(unused: set[str], used: set[str]) -> tuple[str, ...]:
    """The shortest list of modules that holds all of `unused` and none of `used`."""
    tops: set[str] = set()
    for name in unused:
        top = name
        while "." in top:
            parent = top.rpartition(".")[0]
            if any(_under(other, parent) for other in used):
                break
            top = parent
        tops.add(top)
    return tuple(sorted(tops))
