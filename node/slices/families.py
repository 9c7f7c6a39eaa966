"""Which model families may be run, and their configs. No torch at import.

A slice is exact only for families whose every cut was compared with the whole model: `family_table.json` holds the
verdict of each, as `scripts.prove_families` found it. Everything else is refused by name: some families go silently
wrong when cut. Code from a checkpoint is never run; `auto_map` in a config is ignored, the family's own class is used.
"""

from __future__ import annotations

import importlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from node.slices.beside import joined_layers, tokens_until
from node.slices.errors import BadCheckpoint, UnsupportedModel
from wire import limits

MAX_CONFIG_BYTES: Final = 1024 * 1024
"""Security limit: `config.json`."""
TABLE_PATH: Final = Path(__file__).with_name("family_table.json")
"""Every family's verdict; written by `scripts.prove_families` and by nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Where transformers keeps a family, and where the family keeps its parts (dotted names of modules)."""

    module: str
    """`transformers.models.<module>.modeling_<module>`."""
    class_name: str
    stack: str = "model.layers"
    """The list of all layers."""
    embed: str = "model.embed_tokens"
    """The token embedding."""
    head: str = "lm_head"
    """What turns hidden states into logits."""
    before: tuple[str, ...] = ()
    """What runs between the embedding and the first layer: position tables, norms of the embedding."""
    after: tuple[str, ...] = ("model.norm",)
    """What runs between the last layer and the head."""
    unused: tuple[str, ...] = ()
    """What text never passes: towers for images and sound."""
    extra_outputs: int | None = None
    """How many values beside the hidden states a layer returns, in a tuple; None for a bare tensor."""
    tokens: str = ""
    """What its layers need of the tokens themselves: their `ids`, or what is made of them before the layers,
    `embedded`; empty where hidden states are enough."""
    streams: int | None = None
    """Where in the hidden states between two layers there are several streams of them (`boundary`)."""
    state: tuple[str, ...] = ("full_attention",)
    """The kinds of layer state that the proof covers, in transformers' words."""
    names_attention: bool = False
    """Whether its code acts by the name of its attention, so that it must keep the name it has."""
    together: str = ""
    """How one forward may hold the tokens of several sessions: with the `new` keys and values handed through the
    model's code, or all of them `joined`; in a batch, `padded` on the left; empty where none of these is proven."""


def read_table(path: Path = TABLE_PATH) -> dict[str, dict[str, Any]]:
    """The table of families by `model_type`, as it is in the file."""
    table: dict[str, dict[str, Any]] = json.loads(path.read_text())
    return table


def _families(table: Mapping[str, Mapping[str, Any]]) -> dict[str, Family]:
    names = {field.name for field in fields(Family)}
    found: dict[str, Family] = {}
    for model_type, row in table.items():
        if row["verdict"] == "exact":
            parts: dict[str, Any] = {key: value for key, value in row.items() if key in names}
            lists = {key: tuple(value) for key, value in parts.items() if isinstance(value, list)}
            found[model_type] = Family(**{**parts, **lists})
    return found


_TABLE: Final = read_table()
FAMILIES: Final = _families(_TABLE)
"""The families that are proven exact, by `model_type`."""
REFUSED: Final = {name: str(row["reason"]) for name, row in _TABLE.items() if row["verdict"] == "refused"}
"""Families that were tried, and why each is not run."""

_NOT_FROM_FILE: Final = (
    "auto_map",
    "attn_implementation",
    "experts_implementation",
    "distributed_config",
    "fusion_config",
    "transformers_weights",
    "dtype",
    "torch_dtype",
)
"""Config keys that would change how the model is run: which kernels, which code, which files."""

_SPECIAL_FLOATS: Final = {"Infinity": math.inf, "-Infinity": -math.inf}
_BOUNDS: Final = {
    "num_hidden_layers": limits.MAX_LAYERS,
    "hidden_size": limits.MAX_HIDDEN_SIZE,
    "vocab_size": limits.MAX_VOCABULARY,
    "max_position_embeddings": limits.MAX_POSITIONS,
    "n_positions": limits.MAX_POSITIONS,
    "max_seq_len": limits.MAX_POSITIONS,
    "n_embd": limits.MAX_HIDDEN_SIZE,
    "d_model": limits.MAX_HIDDEN_SIZE,
}
"""Security limits on what a config may ask for, before anything is built from it."""
_COUNTED: Final = (
    (re.compile(r"layers$|^n_layer$|^depth$"), limits.MAX_LAYERS),
    (re.compile(r"experts"), 65_536),
    (re.compile(r"^altup_num_inputs$|^hc_mult$|^hc_sinkhorn_iters$"), 64),
    (re.compile(r"size|dim|rank|window|heads?$|^n_|num_|hidden|intermediate"), 1 << 31),
)
"""The same for all numbers by what is in their name, for every module that a config asks for is made before its tensors
are looked at."""
EXPERTS: Final = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
"""What families call the number of a layer's experts."""
_DIVIDES: Final = (("num_key_value_heads", "num_attention_heads"),)
_AT_MOST: Final = (
    ("num_experts_per_tok", EXPERTS),
    ("num_experts_per_token", EXPERTS),
    ("moe_topk", EXPERTS),
)


def family_of(raw: dict[str, Any]) -> Family:
    """The family of a parsed `config.json`. Raises `UnsupportedModel`, with the reason."""
    model_type = raw.get("model_type")
    if not isinstance(model_type, str):
        raise UnsupportedModel("?", "config.json has no model_type; download the checkpoint again")
    if model_type not in FAMILIES:
        reason = REFUSED.get(model_type, "its slices are not proven to equal the whole model")
        raise UnsupportedModel(model_type, f"{reason}; supported are {', '.join(FAMILIES)}")
    if raw.get("quantization_config") is not None:
        raise UnsupportedModel(model_type, "the checkpoint is quantised; use the unquantised one")
    for scaling in (raw.get("rope_scaling"), raw.get("rope_parameters")):
        # Where layers of different kinds have tables of their own, each is described by itself.
        described = (scaling, *scaling.values()) if isinstance(scaling, dict) else ()
        if any(
            isinstance(one, dict) and "dynamic" in (one.get("rope_type"), one.get("type"))
            for one in described
        ):
            reason = "its rotary table grows with the longest session, so sessions would change one another"
            raise UnsupportedModel(model_type, reason)
    return FAMILIES[model_type]


def load_config(folder: Path) -> tuple[Family, Any]:
    """Read and check `config.json`; returns the family and transformers' config object. Imports torch.

    Raises:
        BadCheckpoint: there is no config, or it is not one.
        UnsupportedModel: the family is not on the list.
    """
    path = folder / "config.json"
    raw = _read(folder, path)
    family = family_of(raw)
    cleaned = _cleaned(raw)
    _check_numbers(path, cleaned)
    cls = causal_class(family)
    from huggingface_hub.errors import StrictDataclassError
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    try:
        config = CONFIG_MAPPING[raw["model_type"]].from_dict(cleaned)
        if cls.config_class is config.sub_configs.get("text_config"):
            config = config.get_text_config()
        joined = joined_layers(config.get_text_config())
    except (StrictDataclassError, TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as error:
        raise BadCheckpoint(path, f"is not a {raw['model_type']} config ({error})") from error
    needs_tokens = getattr(config.get_text_config(), "hidden_size_per_layer_input", None)
    if needs_tokens and not family.tokens:
        raise UnsupportedModel(raw["model_type"], "its slices are not proven for layers that need the tokens")
    if joined and ("dummy" not in family.state or (family.tokens and not needs_tokens)):
        raise UnsupportedModel(raw["model_type"], "its slices are not proven for layers that share keys")
    if family.tokens and not tokens_until(family.tokens, config.get_text_config()):
        family = replace(family, tokens="")
    return family, config


def _cleaned(raw: dict[str, Any]) -> dict[str, Any]:
    """A config, and the configs within it, without what would change how the model is run."""
    return {
        key: _cleaned(value) if key.endswith("_config") and isinstance(value, dict) else _with_floats(value)
        for key, value in raw.items()
        if key not in _NOT_FROM_FILE and key[:1] != "_"
    }


def _with_floats(value: Any) -> Any:
    """A value in which transformers' objects for infinities, which JSON lacks, are numbers again."""
    if isinstance(value, dict):
        tag = value.get("__float__") if len(value) == 1 else None
        if isinstance(tag, str) and tag in _SPECIAL_FLOATS:
            return _SPECIAL_FLOATS[tag]
        return {key: _with_floats(item) for key, item in value.items()}
    return [_with_floats(item) for item in value] if isinstance(value, list) else value


def _check_numbers(path: Path, cleaned: dict[str, Any]) -> None:
    """Raise `BadCheckpoint` for a config whose sizes are no sizes, or too large for anything real."""
    for key, bound in _BOUNDS.items():
        value = cleaned.get(key, 1)
        if type(value) is not int or not 1 <= value <= bound:
            raise BadCheckpoint(path, f"{key} is {value!r}, not a number from 1 to {bound}")
    for part, whole in _DIVIDES:
        a, b = cleaned.get(part), cleaned.get(whole)
        if type(a) is int and type(b) is int and (a < 1 or b % a):
            raise BadCheckpoint(path, f"{part} {a} does not divide {whole} {b}")
    for part, wholes in _AT_MOST:
        a, counts = cleaned.get(part), [cleaned[key] for key in wholes if type(cleaned.get(key)) is int]
        if type(a) is int and counts and a > max(counts):
            raise BadCheckpoint(path, f"{part} is {a}, of {max(counts)} there are")
    for key, value in cleaned.items():
        if key.endswith("_config") and isinstance(value, dict):
            _check_numbers(path, value)
        if type(value) is int:
            for pattern, bound in _COUNTED:
                if pattern.search(key) and not -1 <= value <= bound:
                    raise BadCheckpoint(path, f"{key} is {value!r}, not a number up to {bound}")


def causal_class(family: Family) -> Any:
    """The family's `*ForCausalLM` class. Imports torch, and only this family's code."""
    module = importlib.import_module(f"transformers.models.{family.module}.modeling_{family.module}")
    return getattr(module, family.class_name)


def max_positions(config: Any) -> int:
    """The longest context of a model, in tokens. Families without a table of positions name no bound of their own."""
    for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
        value = getattr(config, name, None)
        if type(value) is int and value > 0:
            return min(value, limits.MAX_POSITIONS)
    return limits.MAX_POSITIONS


def _read(folder: Path, path: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise BadCheckpoint(folder, "is not a folder", next_step="name the folder of a checkpoint")
    from node.slices.weights import read_json

    return read_json(path, MAX_CONFIG_BYTES)
