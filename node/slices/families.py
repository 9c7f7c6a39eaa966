"""Which model families may be run, and their configs. No torch at import.

A slice is exact only for families whose every cut was compared with the whole model; `tests/node/slices/test_exact.py`
does that for exactly the list here. Everything else is refused by name: some families go silently wrong when cut.
Code from a checkpoint is never run; `auto_map` in a config is ignored, the family's own class is used.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.slices.errors import BadCheckpoint, UnsupportedModel
from wire import limits

MAX_CONFIG_BYTES: Final = 1024 * 1024
"""Security limit: `config.json`."""


@dataclass(frozen=True, slots=True)
class Family:
    """Where transformers keeps a family: `transformers.models.<module>.modeling_<module>.<class_name>`."""

    module: str
    class_name: str


FAMILIES: Final = {
    "cohere2": Family("cohere2", "Cohere2ForCausalLM"),
    "deepseek_v3": Family("deepseek_v3", "DeepseekV3ForCausalLM"),
    "gemma": Family("gemma", "GemmaForCausalLM"),
    "gemma2": Family("gemma2", "Gemma2ForCausalLM"),
    "gemma3_text": Family("gemma3", "Gemma3ForCausalLM"),
    "glm4": Family("glm4", "Glm4ForCausalLM"),
    "glm4_moe": Family("glm4_moe", "Glm4MoeForCausalLM"),
    "gpt_oss": Family("gpt_oss", "GptOssForCausalLM"),
    "granite": Family("granite", "GraniteForCausalLM"),
    "llama": Family("llama", "LlamaForCausalLM"),
    "mistral": Family("mistral", "MistralForCausalLM"),
    "mixtral": Family("mixtral", "MixtralForCausalLM"),
    "olmo2": Family("olmo2", "Olmo2ForCausalLM"),
    "phi3": Family("phi3", "Phi3ForCausalLM"),
    "qwen2": Family("qwen2", "Qwen2ForCausalLM"),
    "qwen2_moe": Family("qwen2_moe", "Qwen2MoeForCausalLM"),
    "qwen3": Family("qwen3", "Qwen3ForCausalLM"),
    "qwen3_moe": Family("qwen3_moe", "Qwen3MoeForCausalLM"),
    "smollm3": Family("smollm3", "SmolLM3ForCausalLM"),
    "starcoder2": Family("starcoder2", "Starcoder2ForCausalLM"),
}

REFUSED: Final = {
    "zaya": "a second value passes between its layers, so a slice would be silently wrong",
    "mamba": "its recurrent state needs a cache this program does not have",
    "mamba2": "its recurrent state needs a cache this program does not have",
    "falcon_mamba": "its recurrent state needs a cache this program does not have",
    "falcon_h1": "its recurrent state needs a cache this program does not have",
    "zamba2": "its layers share weights across the whole depth",
    "rwkv": "its recurrent state needs a cache this program does not have",
    "gemma3n": "every layer needs the tokens themselves, which hosts do not get",
    "gemma3n_text": "every layer needs the tokens themselves, which hosts do not get",
    "gemma3": "it reads images too; use the text-only checkpoint (gemma3_text)",
}

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

_BOUNDS: Final = {
    "num_hidden_layers": limits.MAX_LAYERS,
    "hidden_size": limits.MAX_HIDDEN_SIZE,
    "vocab_size": limits.MAX_VOCABULARY,
    "max_position_embeddings": limits.MAX_POSITIONS,
}
"""Security limits on what a config may ask for, before anything is built from it."""


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
        if isinstance(scaling, dict) and "dynamic" in (scaling.get("rope_type"), scaling.get("type")):
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
    fields = {key: value for key, value in raw.items() if key not in _NOT_FROM_FILE and key[:1] != "_"}
    for key, bound in _BOUNDS.items():
        value = fields.get(key, 1)
        if type(value) is not int or not 1 <= value <= bound:
            raise BadCheckpoint(path, f"{key} is {value!r}, not a number from 1 to {bound}")
    cls = causal_class(family)
    from huggingface_hub.errors import StrictDataclassError

    try:
        return family, cls.config_class.from_dict(fields)
    except (StrictDataclassError, TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as error:
        raise BadCheckpoint(path, f"is not a {raw['model_type']} config ({error})") from error


def causal_class(family: Family) -> Any:
    """The family's `*ForCausalLM` class. Imports torch, and only this family's code."""
    module = importlib.import_module(f"transformers.models.{family.module}.modeling_{family.module}")
    return getattr(module, family.class_name)


def _read(folder: Path, path: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise BadCheckpoint(folder, "is not a folder", next_step="name the folder of a checkpoint")
    from node.slices.weights import read_json

    return read_json(path, MAX_CONFIG_BYTES)
