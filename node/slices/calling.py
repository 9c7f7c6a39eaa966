"""How a family's forward is called: which of the usual arguments it takes, and under which names."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from node.slices.errors import UnsupportedModel


class Calling:
    """The arguments of one model's forward."""

    def __init__(self, model: Any, decoder: Any) -> None:
        """Look at the forwards of the `*ForCausalLM` and of its decoder.

        Raises:
            UnsupportedModel: the decoder takes no cache that a session could keep.
        """
        names = inspect.signature(decoder.forward).parameters
        caches = [name for name in ("past_key_values", "cache_params") if name in names]
        if not caches:
            raise UnsupportedModel(model.config.model_type, "its state is kept in no cache of transformers'")
        self._cache_name = caches[0]
        self.takes_positions = "position_ids" in names
        """The others count positions from the cache's length, which is the session's."""
        takes_last = "logits_to_keep" in inspect.signature(model.forward).parameters
        self.last_only: dict[str, Any] = {"logits_to_keep": 1} if takes_last else {}
        """What the model is told besides, where only the last token's logits are wanted."""

    def arguments(self, x: torch.Tensor, positions: torch.Tensor, cache: Any) -> dict[str, Any]:
        """The arguments for T new tokens.

        Args:
            x: token ids `[1, T]` int64, or hidden states `[1, T, D]`.
            positions: of the new tokens, `[1, T]` int64.
            cache: as the model's forward sees it.
        """
        arguments: dict[str, Any] = {"use_cache": True, self._cache_name: cache}
        if x.dtype is torch.int64:
            arguments["input_ids"] = x
        else:
            # The layers are given the hidden states where they begin. What comes before them there may do what it
            # likes with these zeros: one family multiplies its input in place.
            arguments["inputs_embeds"] = torch.zeros_like(x)
        if self.takes_positions:
            arguments["position_ids"] = positions
        return arguments
