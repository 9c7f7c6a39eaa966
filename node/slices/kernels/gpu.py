"""Weights of fewer bits on a GPU, by torchao, which is not needed for anything else.

The same matrices are kept in fewer bits as on a processor (`pack`), by the same rule of their shapes. The codes are
torchao's, not ours: scales are rounded otherwise, so a weight may differ by a step of its scale. Experts are one tensor
of three dimensions, which torchao walks past; they are refused, not served in other numerics than announced.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from node.slices.errors import InvalidSlice
from node.slices.kernels import experts, pack
from wire.tensors import WeightFormat


def quantise(model: Any, weights: WeightFormat, device: torch.device, *, embed: bool) -> None:
    """Move the linear modules of a bfloat16 model to `device`, one at a time, each in fewer bits once it is there.

    Args:
        embed: whether the embedding is used, and not only loaded for a head that shares its weights.

    Raises:
        InvalidSlice: torchao is missing or cannot do it there, or the model has experts.
    """
    if weights is WeightFormat.NATIVE:
        return
    modules = list(model.modules())
    if any(experts.is_experts(module) for module in modules):
        raise InvalidSlice(
            f"experts are not kept in {weights.value} on a GPU; serve native weights, or leave --device out"
        )
    quantize_, configs = _torchao()
    head = model.get_output_embeddings()
    for module in modules:
        if type(module) is not nn.Linear or module.weight.dtype is not torch.bfloat16:
            continue
        asked = pack.head_format(weights) if module is head else weights
        kept = pack.kept_format(module.out_features, module.in_features, asked)
        if kept is WeightFormat.NATIVE:
            continue
        try:
            quantize_(module.to(device), configs(kept))
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, AssertionError, ImportError) as error:
            raise InvalidSlice(
                f"torchao cannot keep weights in {kept.value} on this GPU ({error}); serve in int8 or native weights"
            ) from error
    embedding = model.get_input_embeddings()
    if not embed and isinstance(embedding, nn.Embedding) and head.weight is not embedding.weight:
        pack.drop_embedding(model)


def parts(tensor: torch.Tensor) -> list[torch.Tensor]:
    """The tensors that hold a tensor's memory: itself, or those that it wraps."""
    flatten = getattr(tensor, "__tensor_flatten__", None)
    if flatten is None:
        return [tensor]
    return [part for name in flatten()[0] for part in parts(getattr(tensor, name))]


def _torchao() -> tuple[Any, Any]:
    """torchao's `quantize_`, and what gives its configuration for a format."""
    try:
        from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig, quantize_
    except ImportError as error:
        raise InvalidSlice(
            f"weights of fewer bits on a GPU need torchao ({error}); install the extra, as in "
            "`pip install lamella[cuda]`, or serve native weights"
        ) from error

    def config(weights: WeightFormat) -> Any:
        # With its settings for torch's compiler torchao would also let float32 be computed in fewer bits.
        if weights is WeightFormat.INT8:
            return Int8WeightOnlyConfig(set_inductor_config=False)
        return Int4WeightOnlyConfig(
            group_size=pack.GROUPS[weights],
            int4_packing_format="tile_packed_to_4d",
            set_inductor_config=False,
        )

    return quantize_, config
