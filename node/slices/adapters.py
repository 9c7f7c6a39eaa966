"""What single families want of their surroundings, beyond what all have in common."""

from __future__ import annotations

import importlib
from typing import Any, Final

from torch import nn

_HOLE_BUFFERS: Final = {"falcon_h1": (("mamba", "mup_vector"),)}
"""Buffers within every layer, also those not owned, that the family's own initialisation writes to."""

_CACHE_BASES: Final = {"minimax": ("minimax", "MiniMaxCache")}
"""Cache classes of a family's own that its forward insists on."""

_TABLES: Final = {"deepseek_v4": (".gate.tid2eid", "num_experts")}
"""Tables of integers that a family keeps in its layers, by how their names end, and the attribute of the module that
holds one which all of its numbers must be below."""


def furnish_hole(model_type: str, layer: nn.Module, hole: nn.Module) -> None:
    """Give the place of a layer that is not owned what the family's initialisation writes to in every layer."""
    for module_name, buffer_name in _HOLE_BUFFERS.get(model_type, ()):
        stub = nn.Module()
        buffer = getattr(getattr(layer, module_name), buffer_name)
        stub.register_buffer(buffer_name, buffer, persistent=False)
        hole.add_module(module_name, stub)


def is_table(model_type: str, name: str) -> bool:
    """Whether a tensor of the model is a table of integers, and not of weights."""
    return model_type in _TABLES and name.endswith(_TABLES[model_type][0])


def bad_table(model: Any) -> str | None:
    """The name of a table that holds what it must not, or None. A GPU would be out of order after looking it up."""
    for name, table in model.named_buffers():
        if is_table(model.config.model_type, name):
            bound = getattr(model.get_submodule(name.rpartition(".")[0]), _TABLES[model.config.model_type][1])
            if table.numel() and not 0 <= int(table.min()) <= int(table.max()) < bound:
                return str(name)
    return None


def cache_bases(model_type: str) -> tuple[Any, ...]:
    """Classes that a session's cache must be an instance of for this family. Imports the family's code."""
    if model_type not in _CACHE_BASES:
        return ()
    module, name = _CACHE_BASES[model_type]
    return (getattr(importlib.import_module(f"transformers.models.{module}.modeling_{module}"), name),)
