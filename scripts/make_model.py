"""Writes a checkpoint of random weights, to test and measure with: a known shape, or a tiny model of any family.

    python -m scripts.make_model --shape qwen2.5-0.5b --out /tmp/half-billion
    python -m scripts.make_model --family gemma3_text --out /tmp/tiny

The same arguments give the same weights. The pocket model's tokenizer is put beside them where there is one, so that
the chat client can talk to the result (it will answer nonsense).
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any, Final

import torch

from node.slices.families import FAMILIES, causal_class

Fields = dict[str, Any]

SHAPES: Final[dict[str, tuple[str, Fields]]] = {
    "qwen2.5-0.5b": (
        "qwen2",
        {
            "num_hidden_layers": 24,
            "hidden_size": 896,
            "intermediate_size": 4864,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "vocab_size": 151_936,
            "tie_word_embeddings": True,
            "max_position_embeddings": 32_768,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1_000_000.0,
            "use_sliding_window": False,
        },
    ),
}
"""Models of a real size: family and config."""

_TINY: Final[Fields] = {
    "vocab_size": 131,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
    "initializer_range": 0.15,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_ALTERNATING: Final[Fields] = {
    "sliding_window": 8,
    "layer_types": [
        "sliding_attention",
        "full_attention",
        "sliding_attention",
        "sliding_attention",
        "full_attention",
    ],
}
_SPARSE: Final[Fields] = {
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
}
_DEEPSEEK: Final[Fields] = {
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "n_group": 2,
    "topk_group": 1,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 2,
    "routed_scaling_factor": 1.5,
}

TINY: Final[dict[str, Fields]] = {
    "cohere2": {**_ALTERNATING, "logit_scale": 0.25, "tie_word_embeddings": True},
    "deepseek_v3": {
        **_DEEPSEEK,
        "num_key_value_heads": 4,
        "kv_lora_rank": 16,
        "q_lora_rank": 24,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 16,
        "v_head_dim": 12,
        "head_dim": 8,
    },
    "gemma": {"tie_word_embeddings": True},
    "gemma2": {**_ALTERNATING, "tie_word_embeddings": True, "query_pre_attn_scalar": 16},
    "gemma3_text": {**_ALTERNATING, "tie_word_embeddings": True, "query_pre_attn_scalar": 16},
    "glm4": {},
    "glm4_moe": _DEEPSEEK,
    "gpt_oss": {**_ALTERNATING, **_SPARSE},
    "granite": {
        "embedding_multiplier": 6.0,
        "residual_multiplier": 0.3,
        "logits_scaling": 4.0,
        "attention_multiplier": 0.25,
    },
    "llama": {},
    "mistral": {"sliding_window": 8},
    "mixtral": {**_SPARSE, "sliding_window": 8},
    "olmo2": {},
    "phi3": {"sliding_window": 8},
    "qwen2": {
        "use_sliding_window": True,
        "sliding_window": 8,
        "max_window_layers": 2,
        "tie_word_embeddings": True,
    },
    "qwen2_moe": {
        **_SPARSE,
        "shared_expert_intermediate_size": 32,
        "decoder_sparse_step": 2,
        "mlp_only_layers": [1],
    },
    "qwen3": {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2},
    "qwen3_moe": {**_SPARSE, "decoder_sparse_step": 1, "mlp_only_layers": [1, 3]},
    "smollm3": {"no_rope_layers": [1, 1, 1, 0, 1], "use_sliding_window": False},
    "starcoder2": {"sliding_window": 8, "tie_word_embeddings": True},
}
"""For every family a model of five layers, with all that depends on a layer's index in it."""


def write_model(
    out: Path,
    model_type: str,
    fields: Fields,
    *,
    dtype: torch.dtype = torch.bfloat16,
    seed: int = 0,
    max_shard_size: str = "400MB",
) -> Path:
    """Write config and random weights into the folder `out`; returns it."""
    cls = causal_class(FAMILIES[model_type])
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        torch.manual_seed(seed)
        model = cls(cls.config_class(**fields))
    finally:
        torch.set_default_dtype(default)
    return save_random(model.to(dtype), out, dtype=dtype, seed=seed, max_shard_size=max_shard_size)


def save_random(model: Any, out: Path, *, dtype: torch.dtype, seed: int, max_shard_size: str) -> Path:
    """Move the norms and biases of a new model off their ones and zeros, and write it into `out`; returns it."""
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() < 2:  # norms begin as ones and biases as zeros, which would hide mistakes
                noise = 0.2 * torch.randn(parameter.shape, generator=generator)
                parameter.add_(noise.to(parameter.dtype))
        for module in model.modules():
            table = getattr(module, "tid2eid", None)
            if table is not None:  # of zeros, every token would go to one expert
                chances = torch.rand(len(table), module.num_experts, generator=generator)
                table.copy_(chances.argsort(dim=-1)[:, : table.shape[1]])
    model.config.dtype = str(dtype).removeprefix("torch.")
    model.save_pretrained(out, max_shard_size=max_shard_size)
    return out


def write_tiny(
    out: Path, model_type: str, *, dtype: torch.dtype = torch.float32, seed: int = 0, **fields: Any
) -> Path:
    """Write a tiny model of a family in several small shards; `fields` change its config."""
    merged = {**tiny_fields(model_type), **fields}
    return write_model(out, model_type, merged, dtype=dtype, seed=seed, max_shard_size="100KB")


def tiny_fields(model_type: str) -> Fields:
    """The config of a tiny model of one of the families in `TINY`."""
    return {**_TINY, **TINY[model_type]}


def copy_tokenizer(source: Path, out: Path) -> list[str]:
    """Copy whatever tokenizer files `source` has; returns their names."""
    names = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
    found = [name for name in names if (source / name).is_file()]
    for name in found:
        shutil.copyfile(source / name, out / name)
    return found


def main() -> None:
    """Read the command line and write one checkpoint."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--shape", choices=sorted(SHAPES), help="a model of this size")
    kind.add_argument("--family", choices=sorted(TINY), help="a tiny model of this family")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), default="bfloat16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-shard-size", default="400MB")
    pocket = Path(__file__).resolve().parent.parent / "node" / "pocket"
    parser.add_argument("--tokenizer", type=Path, default=pocket, help="folder to copy a tokenizer from")
    options = parser.parse_args()
    dtype = getattr(torch, options.dtype)
    if options.shape:
        family, fields = SHAPES[options.shape]
        size = options.max_shard_size
        write_model(options.out, family, fields, dtype=dtype, seed=options.seed, max_shard_size=size)
    else:
        write_tiny(options.out, options.family, dtype=dtype, seed=options.seed)
    copied = copy_tokenizer(options.tokenizer, options.out)
    print(f"wrote {options.out}" + ("" if copied else ", without a tokenizer"))


if __name__ == "__main__":
    main()
