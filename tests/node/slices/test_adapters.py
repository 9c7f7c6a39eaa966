"""Families with wishes of their own get them, and no others."""

from __future__ import annotations

import torch
from torch import nn
from transformers.cache_utils import DynamicCache

from node.slices import adapters


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mamba = nn.Module()
        self.mamba.register_buffer("mup_vector", torch.ones(3), persistent=False)


def test_a_hole_of_falcon_h1_has_the_buffer_that_its_initialisation_writes_to() -> None:
    hole, other = nn.Module(), nn.Module()
    adapters.furnish_hole("falcon_h1", Layer(), hole)
    adapters.furnish_hole("llama", Layer(), other)
    assert dict(hole.named_buffers())["mamba.mup_vector"].shape == (3,)
    assert not hole.state_dict()
    assert not list(other.children())


def test_only_a_family_that_insists_gets_a_cache_class_of_its_own() -> None:
    assert adapters.cache_bases("llama") == ()
    (base,) = adapters.cache_bases("minimax")
    assert issubclass(base, DynamicCache)
