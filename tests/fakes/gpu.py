"""Stand-ins for a GPU: torch's CPU under a GPU's name, and torch's device without memory, which no tensor leaves."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from node.slices import device
from node.slices.spec import CPU


def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that computes what the CPU computes; its memory is the CPU's."""
    monkeypatch.setattr(device, "opened", lambda _name: device.HOST)
    monkeypatch.setattr(device, "free_bytes", lambda _device: 1 << 20)


def on_meta(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that computes shapes. As on a real one, an operation on it and on a tensor elsewhere is an error."""
    meta = torch.device("meta")

    def to_host(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.device != meta:
            raise AssertionError(f"computed on {tensor.device}")
        return torch.zeros(tensor.shape, dtype=tensor.dtype)

    monkeypatch.setattr(device, "opened", lambda name: device.HOST if name == CPU else meta)
    monkeypatch.setattr(device, "to_host", to_host)


@dataclass
class Torchao:
    """torchao's functions, which note what they are asked for and round weights to halves."""

    asked: list[tuple[tuple[int, int], str, dict[str, Any]]] = field(default_factory=list)
    """Shape of the matrix, name of the configuration, and its arguments."""

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Be what `import torchao.quantization` finds."""
        module = ModuleType("torchao.quantization")
        for name in ("Int4WeightOnlyConfig", "Int8WeightOnlyConfig"):
            setattr(module, name, self._config(name))
        module.quantize_ = self._quantise  # type: ignore[attr-defined]  # a made module has no declared names
        monkeypatch.setitem(sys.modules, "torchao", ModuleType("torchao"))
        monkeypatch.setitem(sys.modules, "torchao.quantization", module)

    @staticmethod
    def _config(name: str) -> Any:
        return lambda **given: (name, given)

    def _quantise(self, linear: nn.Linear, config: tuple[str, dict[str, Any]]) -> None:
        self.asked.append(((linear.out_features, linear.in_features), *config))
        linear.weight = nn.Parameter((linear.weight * 2).round() / 2, requires_grad=False)
