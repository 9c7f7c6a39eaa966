"""The fixed vectors of sampling, for `scripts.make_vectors`, which writes and checks them (`specs/sampling.md`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from node.slices import portable, sampling
from wire.types import Sampling

NOISE = ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (2**64 - 1, 16_777_215, 3_999_999), (7, 4_096, 151_935))
"""(seed, position, token)."""

DRAWS = (
    # vocabulary, position, parameters
    (5, 1, Sampling()),
    (900, 13, Sampling(temperature=1.0)),
    (900, 14, Sampling(temperature=1.0)),
    (900, 14, Sampling(temperature=1.0, seed=1)),
    (900, 14, Sampling(temperature=0.25, seed=2**63)),
    (900, 15, Sampling(temperature=8.0, top_k=5, seed=3)),
    (900, 16, Sampling(temperature=2.0, top_p=0.5, seed=4)),
    (900, 17, Sampling(temperature=2.0, min_p=0.3, seed=5)),
    (900, 18, Sampling(temperature=4.0, top_k=300, top_p=0.9, min_p=0.01, seed=6)),
    (152_000, 4_000, Sampling(temperature=1.5, seed=8)),
    (152_000, 4_001, Sampling(temperature=1.0, top_p=0.95, seed=8)),
)


def made_logits(vocabulary: int) -> sampling.Logits:
    """Logits in [-8, 8), exact in float32: 24 random bits of `mix(id + 1)`, less 2^23, times 2^-20."""
    words = portable.mix(np.arange(1, vocabulary + 1, dtype=np.uint64))
    return (((words >> np.uint64(40)).astype(np.float64) - 2.0**23) * 2.0**-20).astype(np.float32)


def vectors() -> object:
    """Return noise, arithmetic and whole draws."""
    return {
        "comment": (
            "Doubles are hexadecimal floating point. The logits of a draw are ((mix(id + 1) >> 40) - 2^23) * 2^-20."
        ),
        "noise": [_noise(*case) for case in NOISE],
        "log": [
            _value(portable.log, x) for x in (2.0**-53, 1e-300, 0.1, 0.5, 0.7071, 0.7072, 1 - 2.0**-53, 36.7)
        ],
        "exp": [
            _value(portable.exp, x) for x in (0.0, -(2.0**-60), -0.1, -0.3466, -1.0, -41.0, -700.0, -700.1)
        ],
        "draws": [_draw(*case) for case in DRAWS],
    }


def _noise(seed: int, position: int, token: int) -> object:
    words = portable.words(seed, position, np.array([token]))
    return {
        "seed": seed,
        "position": position,
        "token": token,
        "word": f"{int(words[0]):016x}",
        "uniform": float(portable.uniform(words)[0]).hex(),
        "gumbel": float(portable.gumbel(words)[0]).hex(),
    }


def _value(function: Callable[[portable.Doubles], portable.Doubles], x: float) -> object:
    return {"x": x.hex(), "y": float(function(np.array([x]))[0]).hex()}


def _draw(vocabulary: int, position: int, parameters: Sampling) -> object:
    names = ("temperature", "top_k", "top_p", "min_p", "seed")
    return {
        "vocabulary": vocabulary,
        "position": position,
        **{name: getattr(parameters, name) for name in names},
        "token": sampling.draw(made_logits(vocabulary), parameters, position),
    }


FILES: Mapping[str, Callable[[], object]] = {"sampling.json": vectors}
