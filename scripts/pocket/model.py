"""The pocket model as it is trained: a Qwen3 decoder whose parameter names are those of the checkpoint.

transformers' own module runs the exported checkpoint everywhere else; this one exists because a compiled block with
hand-written attention trains about twice as fast on two CPU cores. A test holds the two to the same logits.
Shape letters: B batch, T tokens, D hidden size, H query heads, K key/value heads, Dh head size, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The sizes of the model; the defaults are those of the checkpoint that ships."""

    vocab_size: int
    num_layers: int = 24
    hidden_size: int = 128
    intermediate_size: int = 256
    num_heads: int = 4
    num_kv_heads: int = 2
    head_dim: int = 32
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6
    max_positions: int = 1024


class RmsNorm(nn.Module):
    """Root-mean-square norm over the last axis."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` [..., size] scaled to unit mean square, times the weight."""
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


class Attention(nn.Module):
    """Causal grouped-query attention with a norm on each query and key head."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.num_heads, self.num_kv_heads, self.head_dim = shape.num_heads, shape.num_kv_heads, shape.head_dim
        queries, keys = shape.num_heads * shape.head_dim, shape.num_kv_heads * shape.head_dim
        self.q_proj = nn.Linear(shape.hidden_size, queries, bias=False)
        self.k_proj = nn.Linear(shape.hidden_size, keys, bias=False)
        self.v_proj = nn.Linear(shape.hidden_size, keys, bias=False)
        self.o_proj = nn.Linear(queries, shape.hidden_size, bias=False)
        self.q_norm = RmsNorm(shape.head_dim, shape.norm_eps)
        self.k_norm = RmsNorm(shape.head_dim, shape.norm_eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Return the attended `x` [B, T, D]; `cos` and `sin` are [T, Dh]."""
        batch, tokens, _ = x.shape
        queries = self.q_norm(self.q_proj(x).view(batch, tokens, self.num_heads, self.head_dim)).transpose(
            1, 2
        )
        keys = self.k_norm(self.k_proj(x).view(batch, tokens, self.num_kv_heads, self.head_dim)).transpose(
            1, 2
        )
        values = self.v_proj(x).view(batch, tokens, self.num_kv_heads, self.head_dim).transpose(1, 2)
        queries, keys = _rotate(queries, cos, sin), _rotate(keys, cos, sin)
        groups = self.num_heads // self.num_kv_heads
        keys, values = keys.repeat_interleave(groups, 1), values.repeat_interleave(groups, 1)
        scores = queries @ keys.transpose(2, 3) / math.sqrt(self.head_dim)
        future = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
        mixed = scores.masked_fill(future, -1e9).softmax(-1) @ values
        out: Tensor = self.o_proj(mixed.transpose(1, 2).reshape(batch, tokens, -1))
        return out


class Mlp(nn.Module):
    """The gated feed-forward half of a block."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=False)
        self.up_proj = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=False)
        self.down_proj = nn.Linear(shape.intermediate_size, shape.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the transformed `x` [B, T, D]."""
        out: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Block(nn.Module):
    """One decoder layer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = RmsNorm(shape.hidden_size, shape.norm_eps)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = RmsNorm(shape.hidden_size, shape.norm_eps)
        self.mlp = Mlp(shape)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Return the hidden states [B, T, D] after this layer."""
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Decoder(nn.Module):
    """Embedding, layers and final norm; named as the checkpoint names them."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.num_layers))
        self.norm = RmsNorm(shape.hidden_size, shape.norm_eps)


class PocketModel(nn.Module):
    """The whole model; the head is the embedding, transposed."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.run_layer = run_layer
        self.model = Decoder(shape)
        scale = 1 / math.sqrt(2 * shape.num_layers)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(weight, std=0.02 * scale if residual else 0.02)
        cos, sin = rotary_table(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def hidden_states(self, ids: Tensor) -> Tensor:
        """Return the normed hidden states [B, T, D] of `ids` [B, T]."""
        tokens = ids.shape[1]
        cos, sin = self.get_buffer("cos")[:tokens], self.get_buffer("sin")[:tokens]
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x = self.run_layer(layer, x, cos, sin)
        out: Tensor = self.model.norm(x)
        return out

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits [B, T, V] of `ids` [B, T]."""
        return self.hidden_states(ids) @ self.model.embed_tokens.weight.T


def run_layer(layer: nn.Module, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return the hidden states [B, T, D] after `layer`; one function for all of them, so that it compiles once."""
    out: Tensor = layer(x, cos, sin)
    return out


def rotary_table(shape: Shape) -> tuple[Tensor, Tensor]:
    """Return cosines and sines, each [max_positions, Dh], in the half-split layout of Qwen."""
    inverse = shape.rope_theta ** (-torch.arange(0, shape.head_dim, 2).float() / shape.head_dim)
    angles = torch.arange(shape.max_positions).float()[:, None] * inverse[None]
    both = torch.cat((angles, angles), -1)
    return both.cos(), both.sin()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.chunk(2, -1)
    return x * cos + torch.cat((-right, left), -1) * sin
