"""How a family's forward is called: which of the usual arguments it takes, and under which names."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from node.slices.errors import UnsupportedModel


class Calling:
    """The arguments of one model's forward."""

    def __init__(
        self,
        model: Any,
        decoder: Any,
        *,
        tokens: str = "",
        shares_keys: bool = False,
        device: torch.device | None = None,
    ) -> None:
        """Look at the forwards of the `*ForCausalLM` and of its decoder.

        Args:
            tokens: what its layers need of the tokens (`families.Family.tokens`).
            shares_keys: whether some of its layers attend to the keys of others.
            device: where the model is.

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
        self.takes_mask = "attention_mask" in names
        takes_last = "logits_to_keep" in inspect.signature(model.forward).parameters
        # Told a number, a decoder may leave out the other tokens in its last layers; told which, it computes all.
        last: Any = torch.tensor([-1], device=device) if shares_keys else 1
        self.last_only: dict[str, Any] = {"logits_to_keep": last} if takes_last else {}
        """What the model is told besides, where only the last token's logits are wanted."""
        self._hidden_size: int = model.config.get_text_config().hidden_size
        self._always_ids = tokens == "embedded"

    def arguments(
        self,
        x: torch.Tensor,
        positions: torch.Tensor,
        cache: Any,
        ids: torch.Tensor | None = None,
        *,
        mask: torch.Tensor | None = None,
    ) -> dict[str, Any]:
        """The arguments for T new tokens of each of B sequences.

        Args:
            x: token ids `[B, T]` int64, or hidden states `[B, T, W]`.
            positions: of the new tokens, `[B, T]` int64.
            cache: as the model's forward sees it.
            ids: of the tokens whose hidden states `x` are, `[B, T]` int64, where the layers need them.
            mask: `[B, S + T]` int64, 0 where a sequence has nothing; None where none is padded.
        """
        if ids is None and self._always_ids:
            ids = x.new_zeros(x.shape[:2], dtype=torch.int64)
        arguments: dict[str, Any] = {"use_cache": True, self._cache_name: cache}
        if x.dtype is torch.int64:
            arguments["input_ids"] = x
        elif ids is not None:
            arguments["input_ids"] = ids
        else:
            # The layers are given the hidden states where they begin. What comes before them there may do what it
            # likes with these zeros: one family multiplies its input in place.
            arguments["inputs_embeds"] = x.new_zeros(*x.shape[:2], self._hidden_size)
        if self.takes_positions:
            arguments["position_ids"] = positions
        if mask is not None:
            arguments["attention_mask"] = mask
        return arguments
