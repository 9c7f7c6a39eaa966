"""A family's model class whose head has weights of its own, whatever the config says.

A quantised checkpoint has a head of codes beside an embedding that is kept whole, also where both were one tensor.
"""

from __future__ import annotations

from typing import Any

from node.slices.families import Family


def untied_class(cls: Any, family: Family) -> Any:
    """A throw-away subclass of a `*ForCausalLM`, under its name, whose instances do not share the embedding."""

    def __init__(self: Any, config: Any, *args: Any, **kwargs: Any) -> None:
        cls.__init__(self, config, *args, **kwargs)
        ties = self.all_tied_weights_keys
        self.all_tied_weights_keys = {
            target: source for target, source in ties.items() if not target.startswith(family.head + ".")
        }

    namespace = {"__init__": __init__, "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    return type(cls.__name__, (cls,), namespace)
