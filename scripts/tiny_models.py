"""Tiny configs for any family of transformers: all that a config has by the usual names is made small.

What a family calls its own, or wants to be a multiple of something, is in `OWN`. Every model has five layers, and where
a family mixes kinds of layers, all of its kinds.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from scripts.make_model import TINY

Fields = dict[str, Any]

NUM_LAYERS: Final = 5
VOCABULARY: Final = 131

_USUAL: Final[Fields] = {
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), NUM_LAYERS),
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "word_embed_proj_dim"), 64),
    **dict.fromkeys(("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"), 96),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"), 4),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len"), 512),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(
        ("num_experts_per_tok", "moe_k", "moe_topk", "num_experts_per_token", "top_k_experts"), 2
    ),
    **dict.fromkeys(("sliding_window", "attention_chunk_size", "attention_window_size"), 8),
    "vocab_size": VOCABULARY,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "initializer_range": 0.15,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "moe_intermediate_size": 32,
    "n_shared_experts": 1,
    "shared_expert_intermediate_size": 32,
    "n_group": 2,
    "topk_group": 1,
    "first_k_dense_replace": 2,
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 12,
    "index_n_heads": 2,
    "index_head_dim": 16,
    "index_topk": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "mamba_d_state": 16,
    "mamba_d_conv": 4,
    "mamba_n_heads": 4,
    "mamba_d_head": 32,
    "mamba_n_groups": 1,
    "mamba_dt_rank": 8,
    "mamba_num_heads": 4,
    "mamba_head_dim": 32,
    "mamba_chunk_size": 8,
    "state_size": 16,
    "n_groups": 1,
    "time_step_rank": 8,
}
_EYE: Final[Fields] = {
    **dict.fromkeys(("depth", "num_hidden_layers"), 1),
    **dict.fromkeys(("hidden_size", "intermediate_size"), 32),
    **dict.fromkeys(("num_heads", "num_attention_heads"), 2),
    "head_dim": 16,
    "image_size": 28,
    "patch_size": 14,
    "out_hidden_size": 64,
}
_EAR: Final[Fields] = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "output_proj_dims": 32,
    "subsampling_conv_channels": [4, 4],
}
_ONLY_IF_SET: Final = ("sliding_window", "attention_chunk_size", "q_lora_rank", "kv_lora_rank", "n_inner")

_MIXED: Final = [
    "linear_attention",
    "full_attention",
    "linear_attention",
    "linear_attention",
    "full_attention",
]

_TWO_KINDS: Final = ["sliding_attention", "full_attention"] * 2 + ["sliding_attention"]

_COMPRESSED: Final = ["heavily_compressed_attention", "compressed_sparse_attention"]

_MARKS: Final = {f"{kind}_token_id": 1 for kind in ("image", "video", "audio", "boi", "eoi", "boa")}

_SHARING: Final = ["linear_attention", "hybrid", "linear_attention", "hybrid", "linear_attention"]

OWN: Final[dict[str, Fields]] = {
    "bailing_hybrid": {"head_dim": 16, "layer_types": _MIXED, "n_group": 2, "topk_group": 1},
    "bamba": {"attn_layer_indices": [1, 4]},
    "codegen": {"rotary_dim": 8},
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 2 + ["full_attention"],
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
            "full_attention": {"rope_type": "default", "rope_theta": 50_000.0},
        },
    },
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10_000.0},
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0},
        "ffn_config": {"ffn_hidden_size": 32, "moe_top_k": 2},
    },
    "deepseek_v4": {
        "compress_rates": {"compressed_sparse_attention": 4, "heavily_compressed_attention": 8},
        "hc_sinkhorn_iters": 3,
        "index_topk": 4,
        "layer_types": [*_COMPRESSED, "sliding_attention", *_COMPRESSED],
        "mlp_layer_types": ["hash_moe"] * 3 + ["moe"] * 2,
        "num_key_value_heads": 1,
        "o_groups": 2,
        "o_lora_rank": 16,
        "partial_rotary_factor": 0.5,
    },
    "falcon_h1": {"mamba_d_ssm": 128, "mamba_d_head": 32},
    "gptj": {"rotary_dim": 8},
    "gpt_neo": {"attention_types": [[["global", "local"], 2], [["global"], 1]], "window_size": 8},
    "granitemoehybrid": {"layer_types": _MIXED},
    "lfm2": {"layer_types": ["conv", "full_attention", "conv", "conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv", "conv", "full_attention"]},
    "mamba2": {"num_heads": 8, "head_dim": 16, "chunk_size": 8},
    "nemotron_h": {
        "layers_block_type": [
            "linear_attention",
            "full_attention",
            "moe",
            "linear_attention",
            "full_attention",
        ],
        "num_hidden_layers": None,
    },
    "qwen2_5_vl_text": {
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [2, 3, 3]}
    },
    "gemma3n_text": {
        "activation_sparsity_pattern": [0.95, 0.95, 0.0, 0.0, 0.0],
        "hidden_size_per_layer_input": 8,
        "laurel_rank": 8,
        "layer_types": _TWO_KINDS,
        "num_kv_shared_layers": 1,
        "vocab_size_per_layer_input": 120,
    },
    "gemma4": {
        **_MARKS,
        "vision_config": {**_EYE, "position_embedding_size": 16, "num_key_value_heads": 2},
        "audio_config": _EAR,
    },
    "gemma4_unified": {
        **_MARKS,
        "vision_config": {"mm_embed_dim": 32, "mm_posemb_size": 16, "output_proj_dims": 32},
        "audio_config": {},
    },
    "gemma4_unified_text": {"layer_types": _TWO_KINDS},
    "gemma4_text": {
        "hidden_size_per_layer_input": 8,
        "layer_types": _TWO_KINDS,
        "num_kv_shared_layers": 1,
        "vocab_size_per_layer_input": VOCABULARY,
    },
    "xlstm": {"qk_dim_factor": 1.0},
    "zamba": {"layers_block_type": _SHARING, "attention_head_dim": 32},
    "zamba2": {
        "layers_block_type": _SHARING,
        "attention_head_dim": 32,
        "n_mamba_heads": 4,
        "use_mem_rope": True,
    },
    "zaya": {"num_experts_per_tok": 1},
    "kimi_linear": {"layer_types": _MIXED},
}
"""What single families need otherwise; None leaves a field as the family has it."""

VARIANTS: Final[dict[str, tuple[Fields, ...]]] = {
    "deepseek_v4": (
        {
            "layer_types": ["sliding_attention"] * 2 + _COMPRESSED[::-1] + _COMPRESSED[:1],
            "mlp_layer_types": ["moe"] * 5,
            "rope_parameters": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
        },
    ),
    "gemma3n_text": ({"num_kv_shared_layers": 0}, {"num_kv_shared_layers": 2}),
    "gemma4_text": (
        {"hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0},
        {"num_kv_shared_layers": 2},
    ),
    "gemma4_unified_text": ({"num_kv_shared_layers": 2},),
    "gemma3n": ({"text_config": {"num_kv_shared_layers": 0}},),
    "gemma4": (
        {"text_config": {"hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0}},
        {"text_config": {"num_kv_shared_layers": 2}},
    ),
    "gemma4_unified": ({"text_config": {"num_kv_shared_layers": 2}},),
}
"""Other tiny models of a family that its proof must hold for too, since its config decides what its layers need."""


def tiny_config(model_type: str, **changes: Any) -> Any:
    """transformers' config of a tiny model of a family."""
    config_class = CONFIG_MAPPING[model_type]
    if model_type in TINY and not changes:
        from scripts.make_model import tiny_fields

        return config_class(**tiny_fields(model_type))
    default = config_class()
    fields = _usual_fields(default)
    for name, size in (("text_config", _usual_fields), ("vision_config", _small_eye)):
        inner = getattr(default, name, None)
        if inner is not None:
            inner_own = copy.deepcopy(OWN.get(inner.model_type, {}))
            fields[name] = size(inner) | {"model_type": inner.model_type} | inner_own
    # Copies: some configs change the lists that they are given.
    own = copy.deepcopy({**OWN.get(model_type, {}), **changes})
    for key, value in own.items():
        if value is None:
            fields.pop(key, None)
        else:
            inner = fields.get(key) if key.endswith("_config") else None
            fields[key] = {**inner, **value} if inner else value
    return config_class(**fields)


def _small_eye(default: Any) -> Fields:
    """A tower for images, as small as it gets: no text passes it."""
    return {key: value for key, value in _EYE.items() if key in vars(default)}


def _usual_fields(default: Any) -> Fields:
    kind = type(default)
    aliases = getattr(kind, "attribute_map", {})
    fields: Fields = {}
    for key, value in _USUAL.items():
        has = key in vars(default) or key in aliases.values()
        if not has or key in aliases or isinstance(getattr(kind, key, None), property):
            continue
        if key in _ONLY_IF_SET and vars(default).get(key) is None:
            continue
        fields[key] = value
    if fields.get("kv_lora_rank"):  # latent attention has as many keys as queries
        fields |= (
            {"num_key_value_heads": 4, "head_dim": 8} if "head_dim" in fields else {"num_key_value_heads": 4}
        )
    types = vars(default).get("layer_types")
    if types and not isinstance(getattr(kind, "layer_types", None), property):
        kinds = list(dict.fromkeys(types))
        fields["layer_types"] = [kinds[index % len(kinds)] for index in range(NUM_LAYERS)]
    return fields
