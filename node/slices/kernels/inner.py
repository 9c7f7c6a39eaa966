"""Computing at float32 within the layers of a model whose weights, and whose states between layers, are bfloat16.

Processors without bfloat16 arithmetic convert at every operation anyway, and what is rounded twenty times a layer is
rounded once: at the layer's end, where the states may have to travel. So a model cut anywhere still computes what it
computes whole. Matrices stay packed and the embedding stays as it is; only what is small is widened.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import nn

from node.slices.kernels import experts
from node.slices.kernels.linear import KernelLinear

DTYPE: Final = torch.float32
MOST_ELEMENTS: Final = 1 << 20
"""A parameter of more elements that no kernel packs would cost too much at float32; such a model stays as it is."""


def suits(outline: nn.Module) -> bool:
    """Whether a whole model, on the meta device, can compute at float32 once its matrices are packed."""
    for module in outline.modules():
        if type(module) is nn.Linear or isinstance(module, nn.Embedding):
            continue
        packed = ("gate_up_proj", "up_proj", "down_proj") if experts.is_experts(module) else ()
        for name, parameter in module.named_parameters(recurse=False):
            if name not in packed and parameter.numel() > MOST_ELEMENTS:
                return False
    return True


def widen(model: Any) -> None:
    """Widen what was not packed, and what embeddings give."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Embedding):
                module.register_forward_hook(_widened)
            elif not isinstance(module, KernelLinear):
                _widen_own(module)
            elif module.bias is not None:
                module.bias = _wide(module.bias)


def _widen_own(module: nn.Module) -> None:
    for parameters in (module._parameters, module._buffers):
        for name, tensor in parameters.items():
            if tensor is not None and tensor.dtype is torch.bfloat16:
                parameters[name] = _wide(tensor)


def _wide(tensor: torch.Tensor) -> Any:
    wide = tensor.to(DTYPE)
    return nn.Parameter(wide, requires_grad=False) if isinstance(tensor, nn.Parameter) else wide


def _widened(_module: nn.Module, _inputs: Any, out: torch.Tensor) -> torch.Tensor:
    return out.to(DTYPE)
