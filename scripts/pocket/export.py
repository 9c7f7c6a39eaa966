"""Writes a trained model as a checkpoint that plain transformers loads: bf16 safetensors, config, tokenizer, template.

The folder appears in one step: everything is written beside it and then renamed into place, file by file.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer

from scripts.pocket.model import PocketModel, Shape
from scripts.pocket.tokenizer import CHAT_TEMPLATE, END, PAD, START

WEIGHTS: Final = "model.safetensors"
RECORD: Final = "training"


def read_record(checkpoint: Path) -> str:
    """Return the record that the weights in the folder `checkpoint` carry."""
    with safe_open(checkpoint / WEIGHTS, framework="pt") as weights:
        metadata: dict[str, str] = weights.metadata()
    return metadata[RECORD]


def config(shape: Shape, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the contents of config.json."""
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.num_layers,
        "num_attention_heads": shape.num_heads,
        "num_key_value_heads": shape.num_kv_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "rms_norm_eps": shape.norm_eps,
        "rope_theta": shape.rope_theta,
        "rope_scaling": None,
        "max_position_embeddings": shape.max_positions,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "use_sliding_window": False,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "initializer_range": 0.02,
        "use_cache": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.token_to_id(END),
        "pad_token_id": tokenizer.token_to_id(PAD),
        "dtype": "bfloat16",
    }


def export(model: PocketModel, tokenizer: Tokenizer, out: Path, *, record: str) -> None:
    """Write `model` and `tokenizer` to the folder `out`, over whatever checkpoint is there.

    `record` tells how the weights came about; it travels inside their file.
    """
    end, pad = tokenizer.token_to_id(END), tokenizer.token_to_id(PAD)
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None,
        "eos_token": END,
        "pad_token": PAD,
        "unk_token": None,
        "additional_special_tokens": [START],
        "clean_up_tokenization_spaces": False,
        "model_max_length": model.shape.max_positions,
    }
    generation = {"eos_token_id": end, "pad_token_id": pad, "do_sample": False}
    weights = {
        name: weight.detach().to(torch.bfloat16).contiguous() for name, weight in model.named_parameters()
    }
    out.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=out))
    try:
        tokenizer.save(str(staging / "tokenizer.json"))
        for name, value in (
            ("tokenizer_config.json", tokenizer_config),
            ("config.json", config(model.shape, tokenizer)),
            ("generation_config.json", generation),
        ):
            (staging / name).write_text(json.dumps(value, indent=2) + "\n")
        (staging / "chat_template.jinja").write_text(CHAT_TEMPLATE)
        save_file(weights, staging / WEIGHTS, metadata={"format": "pt", RECORD: record})
        for path in staging.iterdir():
            path.chmod(0o644)
            path.replace(out / path.name)
    finally:
        shutil.rmtree(staging)
