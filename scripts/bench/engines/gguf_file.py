"""Writes a qwen2 checkpoint as GGUF, so that llama.cpp computes with the very weights the other engines have.

    python -m scripts.bench.engines.gguf_file FOLDER OUT.gguf {BF16,Q8_0,Q4_0}

The embedding, which is also the head, keeps 8 bits in Q4_0 files, as our own int4 formats do. There is no vocabulary
in the file: the benchmarks speak in token ids.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

_LAYER: Final = {
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.q_proj.bias": "attn_q.bias",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.k_proj.bias": "attn_k.bias",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.v_proj.bias": "attn_v.bias",
    "self_attn.o_proj.weight": "attn_output.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}
_ENDS: Final = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def write(folder: Path, out: Path, kind: str) -> None:
    """Convert all tensors. Raises `SystemExit` for another family."""
    import gguf
    import torch
    from safetensors import safe_open

    config = json.loads((folder / "config.json").read_text())
    if config["model_type"] != "qwen2":
        raise SystemExit(
            f"{folder} is a {config['model_type']} model; only qwen2 can be written as GGUF here"
        )
    writer = gguf.GGUFWriter(out, "qwen2")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(_rope_theta(config))
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")
    wide, ends = gguf.GGMLQuantizationType[kind], gguf.GGMLQuantizationType[kind]
    if kind == "Q4_0":
        ends = gguf.GGMLQuantizationType.Q8_0
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as stored:
            for name in stored.keys():  # noqa: SIM118 - not a mapping
                values = stored.get_tensor(name).to(torch.float32).numpy()
                target = _name(name)
                if values.ndim == 1:
                    writer.add_tensor(target, values)
                else:
                    chosen = ends if name in _ENDS else wide
                    writer.add_tensor(target, gguf.quants.quantize(values, chosen), raw_dtype=chosen)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _name(name: str) -> str:
    if name in _ENDS:
        return _ENDS[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{_LAYER[rest]}"


def _rope_theta(config: dict[str, Any]) -> float:
    return float(config.get("rope_theta") or config["rope_parameters"]["rope_theta"])


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
