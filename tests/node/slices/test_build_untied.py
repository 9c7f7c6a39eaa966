"""A class whose head has weights of its own, and that is otherwise the family's."""

from __future__ import annotations

import torch

from node.slices.build_untied import untied_class
from node.slices.families import FAMILIES, causal_class
from scripts.make_model import tiny_fields


def test_the_head_is_untied_and_the_name_kept() -> None:
    family = FAMILIES["gemma2"]
    cls = causal_class(family)
    untied = untied_class(cls, family)
    config = cls.config_class(**tiny_fields("gemma2"))
    with torch.device("meta"):
        assert cls(config).all_tied_weights_keys == {"lm_head.weight": "model.embed_tokens.weight"}
        model = untied(config)
    assert model.all_tied_weights_keys == {}
    assert (untied.__name__, untied.__module__) == (cls.__name__, cls.__module__)
    assert isinstance(model, cls)
