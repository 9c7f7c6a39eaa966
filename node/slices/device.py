"""Where a slice computes: the processor, or one GPU. What is particular to a GPU is here and in `kernels.gpu`.

A slice on a GPU is the family's own model as transformers runs it: no kernel of ours, no recorded layer, attention by
torch's own function. Its weights are read in the processor's memory, once, and moved one tensor after the other. What
goes into `Slice` and what comes out is always in the processor's memory, so nobody outside knows of devices.

Written against the documentation and against stand-ins: it has not run on a GPU so far. `pytest -m gpu` is the proof.
"""

from __future__ import annotations

from typing import Any, Final

import torch

from node.slices.errors import InvalidSlice, OutOfMemoryBudget
from node.slices.kernels import gpu
from node.slices.spec import CPU, SliceSpec

HOST: Final = torch.device("cpu")
UNTESTED: Final = "computing on a GPU is untested so far; compare its answers with those of --device cpu"
KV_PART: Final = 0.5
"""Of a GPU's memory that is free once the slices are loaded, the part for sessions; forwards need some of the rest."""


def opened(name: str) -> torch.device:
    """The device of a name that `SliceSpec` takes, for this thread to use. Raises `InvalidSlice` if it is not there."""
    if name == CPU:
        return HOST
    if not torch.cuda.is_available():
        raise InvalidSlice(
            "torch sees no CUDA device; install a CUDA build of torch and the GPU's driver, or leave --device out"
        )
    index, count = int(name.partition(":")[2] or 0), torch.cuda.device_count()
    if index >= count:
        raise InvalidSlice(
            f"torch sees no {name}, only {count} CUDA device(s); choose from cuda:0 to cuda:{count - 1}"
        )
    found = torch.device("cuda", index)
    torch.cuda.set_device(found)
    # A convolution of float32 would else be computed in fewer bits.
    torch.backends.cudnn.allow_tf32 = False
    return found


def place(model: Any, spec: SliceSpec, *, embed: bool) -> None:
    """Move a loaded model to the spec's device, and keep its weights there as the spec says.

    Args:
        embed: whether the embedding is used, and not only loaded for a head that shares its weights.

    Raises:
        InvalidSlice: it does not fit, or its weights cannot be kept like that on a GPU.
    """
    device = opened(spec.device)
    try:
        with torch.no_grad():
            gpu.quantise(model, spec.weights, device, embed=embed)
            # One tensor after the other, each let go of here as it arrives there.
            model.to(device)
            for module in model.modules():
                _move_plain(module, device)
    except torch.OutOfMemoryError as error:
        raise InvalidSlice(
            f"layers {spec.layers} do not fit on {spec.device} ({error}); serve fewer layers, or in fewer bits"
        ) from error


def to_host(tensor: torch.Tensor) -> torch.Tensor:
    """A result in the processor's memory, once it is there."""
    return tensor.to(HOST)


def free_bytes(device: torch.device) -> int:
    """Bytes of a GPU's memory that nobody uses."""
    free, _total = torch.cuda.mem_get_info(device)
    return int(free)


def kv_bytes(name: str, asked: int | None, default: int) -> int:
    """Bytes that all sessions may have for their caches on a device; call when its slices are loaded.

    Args:
        asked: what the person asked for, if anything.
        default: what they get on the processor otherwise.

    Raises:
        OutOfMemoryBudget: more was asked for than is free.
    """
    if name == CPU:
        return default if asked is None else asked
    torch.cuda.empty_cache()
    free = free_bytes(opened(name))
    if asked is None:
        return int(free * KV_PART)
    if asked > free:
        raise OutOfMemoryBudget(asked, free)
    return asked


def _move_plain(module: torch.nn.Module, device: torch.device) -> None:
    """Move tensors that a family keeps as plain attributes, which torch does not know of."""
    for name, value in vars(module).items():
        if isinstance(value, torch.Tensor) and value.device != device:
            setattr(module, name, value.to(device))
