"""Draws a token from logits, the same one on every machine. Spec: `specs/sampling.md`.

Gumbel-max: the token whose scaled logit plus noise is highest is distributed as softmax. The noise is hashed from
(seed, position, token id), so a draw is a pure function: another tail repeats it, and a draft can be
checked against it. Neither torch nor a random generator is used.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from node.slices import portable
from node.slices.errors import NotFinite
from wire.types import Sampling

Logits = npt.NDArray[np.float32]

NOISE_SPAN: Final = 41.0
"""The noise lies within [-3.61, 36.74]; a token this far below the highest can never win, so none is made for it."""
FIRST_ROUND: Final = 256
SHORT_SORT: Final = 2_048


def draw(logits: Logits, sampling: Sampling, position: int) -> int:
    """The token id drawn.

    Args:
        logits: `[V]`, not divided by the temperature; -inf excludes a token.
        sampling: temperature 0 takes the highest logit, the lowest id among equals.
        position: of the token that is drawn, counted from the start of the session.

    Raises:
        NotFinite: a logit is NaN or +inf, or none is finite.
    """
    highest = float(logits.max(initial=-np.inf))
    if not np.isfinite(highest):  # NaN spreads through max
        raise NotFinite("the logits hold NaN or infinity")
    if sampling.temperature == 0.0:
        return int(logits.argmax())
    with np.errstate(over="ignore"):
        scores = (logits.astype(np.float64) - highest) / sampling.temperature
    tokens = candidates(scores, sampling)
    tokens = tokens[scores[tokens] >= -NOISE_SPAN]
    hashed = portable.words(sampling.seed, position, tokens)
    kept = _possible_winners(scores[tokens], hashed)
    tokens, hashed = tokens[kept], hashed[kept]
    return int(tokens[np.argmax(scores[tokens] + portable.gumbel(hashed))])


def candidates(scores: portable.Doubles, sampling: Sampling) -> npt.NDArray[np.int64]:
    """The tokens that top-k, then top-p, then min-p leave, in ascending order of id.

    Args:
        scores: `[V]`, logits less the highest, over the temperature: at most 0.
    """
    tokens = np.arange(len(scores), dtype=np.int64)
    if 0 < sampling.top_k < len(scores):
        tokens = _highest(scores, sampling.top_k)
    if sampling.top_p < 1.0:
        tokens = _nucleus(tokens, scores, sampling.top_p)
    if sampling.min_p > 0.0:
        tokens = tokens[scores[tokens] >= np.log(sampling.min_p) - 1e-6]
        tokens = tokens[portable.exp(scores[tokens]) >= sampling.min_p]
    return tokens


def logprobs(logits: Logits, token: int, count: int) -> tuple[float, tuple[tuple[int, float], ...]]:
    """Natural log-probabilities under the plain softmax: of `token`, and of the `count` likeliest, best first."""
    shifted = logits.astype(np.float64) - float(logits.max())
    shifted -= np.log(np.exp(shifted).sum())
    best = _highest(shifted, min(count, len(shifted))) if count else np.zeros(0, np.int64)
    best = best[np.argsort(-shifted[best], kind="stable")]
    return float(shifted[token]), tuple((int(i), float(shifted[i])) for i in best)


def _possible_winners(scores: portable.Doubles, hashed: portable.Words) -> npt.NDArray[np.int64]:
    """Indexes, ascending, of all that can still win; leaves out only what surely loses, so the draw is the same.

    The highest few are drawn among first. A token at most as high as the last of them needs noise g of at least
    t = best - last, so -ln u = e^-g <= e^-t, so 1 - u <= e^-t: a bound on its random word, which is cheap to check.
    """
    if len(scores) <= 2 * FIRST_ROUND:
        return np.arange(len(scores), dtype=np.int64)
    first = _highest(scores, FIRST_ROUND)
    best = float((scores[first] + portable.gumbel(hashed[first])).max())
    last = float(scores[first].min())
    bound = 1.0 - 1.001 * float(np.exp(min(last - best, 0.0))) - 2.0**-50
    others = np.flatnonzero(hashed >= np.uint64(max(0, int(bound * 2.0**64))))
    return np.union1d(first, others)


def _highest(scores: portable.Doubles, count: int) -> npt.NDArray[np.int64]:
    """The indexes of the `count` highest, ascending; the lower index goes first among equals."""
    threshold = np.partition(scores, len(scores) - count)[len(scores) - count]
    above = np.flatnonzero(scores > threshold)
    equal = np.flatnonzero(scores == threshold)[: count - len(above)]
    return np.sort(np.concatenate((above, equal)))


def _nucleus(tokens: npt.NDArray[np.int64], scores: portable.Doubles, top_p: float) -> npt.NDArray[np.int64]:
    """The fewest of the likeliest `tokens` whose weights sum to at least `top_p` of all; at least one."""
    scores = scores[tokens]
    weights = portable.exp(scores)
    goal = top_p * float(np.add.accumulate(weights)[-1])
    # Most often few tokens are enough; equals at the edge are left to the full sort, which orders them by id.
    for head in (SHORT_SORT, len(tokens)):
        if head < len(tokens):
            edge = np.partition(scores, len(scores) - head)[len(scores) - head]
            head_tokens = np.flatnonzero(scores > edge)
        else:
            head_tokens = np.arange(len(tokens))
        order = head_tokens[np.argsort(-scores[head_tokens], kind="stable")]
        reached = np.add.accumulate(weights[order]) >= goal
        if reached.any():
            return np.sort(tokens[order[: int(reached.argmax()) + 1]])
    return tokens
