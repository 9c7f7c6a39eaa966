"""Which part of a model a tensor on disk belongs to, so that a slice reads its own tensors and no others.

Checkpoints name their tensors as they were when they were published; transformers renames them to its own modules
while it loads. The same rules are asked here beforehand, of a model on the meta device that has no memory.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

from node.slices import adapters
from node.slices.families import Family
from wire.types import LayerRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What of a model is kept."""

    layers: LayerRange
    embed: bool
    head: bool


class Place(Enum):
    """A part of the model that is not a layer."""

    EMBED = "embed"
    BEFORE = "before"
    AFTER = "after"
    HEAD = "head"
    EVERYWHERE = "everywhere"
    """Outside the layers, but not of one end: every slice needs it."""
    NOWHERE = "nowhere"
    """Not part of what text passes, or not known to the model."""


_NUMBER: Final = re.compile(r"(?<=\.)\d+(?=\.)")


_LEFT_OVER: Final = re.compile(r"(?:rotary_emb\.\w+|masked_bias|(?:attn|attention)\.bias|causal_mask)$")
"""Tables that old versions of transformers wrote into checkpoints, and new ones compute."""


def place_of(module_name: str, family: Family) -> Place | int:
    """The part a parameter belongs to, by its dotted name in the model; a layer's number if it is a layer's."""

    def under(path: str) -> bool:
        return module_name.startswith(path + ".")

    if under(family.stack):
        number = module_name[len(family.stack) + 1 :].partition(".")[0]
        return int(number) if number.isdecimal() else Place.EVERYWHERE
    if under(family.embed):
        return Place.EMBED
    if under(family.head):
        return Place.HEAD
    for paths, place in (
        (family.before, Place.BEFORE),
        (family.after, Place.AFTER),
        (family.unused, Place.NOWHERE),
    ):
        if any(under(path) for path in paths):
            return place
    return Place.EVERYWHERE


def needed(place: Place | int, parts: Parts, *, tied: bool, embedded: bool = False) -> bool:
    """Whether `parts` need what is at `place`.

    Args:
        tied: whether the head's weights are the embedding's.
        embedded: whether layers need what is made of the tokens before the first of them.
    """
    if isinstance(place, int):
        return place in parts.layers
    if place is Place.EMBED:
        return parts.embed or embedded or (parts.head and tied)
    if place is Place.BEFORE:
        return parts.embed or embedded
    if place in (Place.AFTER, Place.HEAD):
        return parts.head
    return place is Place.EVERYWHERE


class Names:
    """The names on disk of one model's tensors."""

    def __init__(self, model: Any, family: Family) -> None:
        """`model` is the whole model on the meta device."""
        rules = get_model_conversion_mapping(model)
        self._renamings = [rule for rule in rules if isinstance(rule, WeightRenaming)]
        self._converters = [rule for rule in rules if isinstance(rule, WeightConverter)]
        self._prefix: str = model.base_model_prefix
        self._known: dict[str, Any] = model.state_dict()
        self._family = family
        self._ignored = [re.compile(rule) for rule in model._keys_to_ignore_on_load_unexpected or ()]
        self._places: dict[str, Place | int] = {}
        self._unknown: set[str] = set()
        self._tables: set[str] = set()
        self._model_type: str = model.config.model_type
        self.tied = is_tied(model, family)

    def module_name(self, disk_name: str) -> str:
        """The name of the parameter in the model that a tensor on disk becomes, or becomes a part of."""
        renamed, _ = rename_source_key(
            disk_name, self._renamings, self._converters, self._prefix, self._known
        )
        # A rule may also match a name that is the model's own already, which transformers then leaves as it is.
        if renamed not in self._known and disk_name in self._known:
            renamed, _ = rename_source_key(disk_name, [], [], self._prefix, self._known)
        return renamed

    def place(self, disk_name: str) -> Place | int:
        """Which part of the model a tensor on disk belongs to."""
        key = _key(disk_name)
        if key not in self._places:
            name = self.module_name(key)
            place = place_of(name, self._family)
            if name not in self._known:
                if place is Place.EVERYWHERE or _LEFT_OVER.search(name) or self._is_ignored(key, name):
                    place = Place.NOWHERE
                self._unknown.add(key)
            elif adapters.is_table(self._model_type, name):
                self._tables.add(key)
            self._places[key] = place
        return self._places[key]

    def is_unknown(self, disk_name: str) -> bool:
        """Whether the model has no parameter that this tensor on disk could become."""
        self.place(disk_name)
        return _key(disk_name) in self._unknown

    def is_table(self, disk_name: str) -> bool:
        """Whether this tensor on disk becomes a table of integers."""
        self.place(disk_name)
        return _key(disk_name) in self._tables

    def _is_ignored(self, *names: str) -> bool:
        return any(rule.search(name) for rule in self._ignored for name in names)

    def needed(self, disk_name: str, parts: Parts) -> bool:
        """Whether a tensor on disk belongs to `parts`."""
        embedded = self._family.tokens == "embedded"
        return needed(self.place(disk_name), parts, tied=self.tied, embedded=embedded)


def _key(disk_name: str) -> str:
    """The name with all numbers but the first as 0: that is a layer's; experts are many and have one place."""
    first = _NUMBER.search(disk_name)
    end = first.end() if first else len(disk_name)
    return disk_name[:end] + _NUMBER.sub("0", disk_name[end:])


def is_tied(model: Any, family: Family) -> bool:
    """Whether the head's weights are the embedding's."""
    return any(name.startswith(family.head + ".") for name in model.all_tied_weights_keys)
