"""Trains the pocket model on its corpus: fp32, two processes, Muon for block matrices and AdamW for the rest.

Each process runs one thread on its part of every batch and the gradients are summed: two threads of one process meet
thousands of times a step, which on a machine that does other work too was four times slower. The state is written every
so many steps and taken up again when it is there and of the same run; the batches of a resumed run are the ones an
uninterrupted run would have seen.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Tokenizer
from torch import Tensor, distributed
from torch.nn import functional

from scripts.pocket.corpus import Corpus
from scripts.pocket.model import PocketModel, Shape
from scripts.pocket.muon import Muon
from scripts.pocket.packing import IGNORED, Packer

BATCH_TOKENS: Final = 3584
SHORT_ROW: Final = 64
MEDIUM_ROW: Final = 256
LONG_ROW: Final = 512
REPORT_EVERY: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that decides the outcome of a run, besides the text and the model's shape."""

    seed: int
    steps: int
    muon_rate: float = 0.02
    adam_rate: float = 2e-3
    warmup_steps: int = 20
    decay_share: float = 0.4
    """The last part of the steps, over which the learning rates fall linearly to nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A model and what it took."""

    model: PocketModel
    wall_s: float
    tokens: int
    loss: float


def row_length(step: int, steps: int) -> int:
    """Return the length of the rows of `step`: short ones at first, longer chats now and then from a third on."""
    if step < steps // 3 or step % 4:
        return SHORT_ROW
    return LONG_ROW if step % 16 == 0 else MEDIUM_ROW


def rate_factor(step: int, recipe: Recipe) -> float:
    """Return the part of the full learning rates that `step` uses."""
    decay_steps = recipe.steps * recipe.decay_share
    return min(1.0, (step + 1) / recipe.warmup_steps, (recipe.steps - step) / decay_steps)


def train(recipe: Recipe, tokenizer: Tokenizer, folder: Path, *, workers: int, save_every: int) -> Trained:
    """Return the model trained as `recipe` says; progress is printed, the state is kept in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    rendezvous = folder / "rendezvous"
    rendezvous.unlink(missing_ok=True)
    arguments = (workers, recipe, tokenizer.to_str(), folder, save_every)
    torch.multiprocessing.spawn(_work, arguments, nprocs=workers)  # type: ignore[no-untyped-call]
    rendezvous.unlink(missing_ok=True)
    state = torch.load(_state_file(folder), weights_only=True)
    model = PocketModel(Shape(vocab_size=tokenizer.get_vocab_size()))
    model.load_state_dict(state["model"])
    return Trained(model=model, wall_s=state["spent_s"], tokens=state["tokens"], loss=state["loss"])


def _work(
    rank: int, workers: int, recipe: Recipe, tokenizer_text: str, folder: Path, save_every: int
) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    distributed.init_process_group("gloo", f"file://{folder / 'rendezvous'}", rank=rank, world_size=workers)
    tokenizer = Tokenizer.from_str(tokenizer_text)
    model = PocketModel(Shape(vocab_size=tokenizer.get_vocab_size()))
    parameters = list(model.parameters())
    matrices = [weight for layer in model.model.layers for weight in layer.parameters() if weight.ndim == 2]
    chosen = {id(matrix) for matrix in matrices}
    rest = [weight for weight in parameters if id(weight) not in chosen]
    muon = Muon(matrices)
    adam = torch.optim.AdamW(rest, lr=recipe.adam_rate, betas=(0.9, 0.95), weight_decay=0.0)
    first, tokens, spent_s = _take_up(folder, recipe, model, muon, adam)
    packer = Packer(Corpus(recipe.seed), tokenizer)
    begin, losses, loss = time.monotonic(), [0.0], float("nan")
    for step in range(recipe.steps):
        length = row_length(step, recipe.steps)
        ids, targets = packer.batch(BATCH_TOKENS // length, length)
        if step < first:
            continue
        factor = rate_factor(step, recipe)
        muon.learning_rate = recipe.muon_rate * factor
        for group in adam.param_groups:
            group["lr"] = recipe.adam_rate * factor
        losses.append(_gradients(model, parameters, ids[rank::workers], targets[rank::workers], targets))
        muon.step()
        adam.step()
        tokens += ids.numel()
        done = step + 1
        if rank == 0 and done % REPORT_EVERY == 0:
            loss, losses = sum(losses) / len(losses), []
            spent = time.monotonic() - begin
            left_s = spent / (done - first) * (recipe.steps - done)
            print(
                f"step {done}/{recipe.steps}  loss {loss:.4f}  {spent_s + spent:.0f} s  left {left_s:.0f} s",
                flush=True,
            )
        if rank == 0 and (done % save_every == 0 or done == recipe.steps):
            state = {
                "step": done,
                "tokens": tokens,
                "spent_s": spent_s + time.monotonic() - begin,
                "loss": loss,
            }
            state |= {"recipe": asdict(recipe), "model": model.state_dict()}
            state |= {"muon": muon.state_dict(), "adam": adam.state_dict()}
            _save(folder, state)
    distributed.destroy_process_group()


def _gradients(
    model: PocketModel, parameters: list[Tensor], ids: Tensor, targets: Tensor, all_targets: Tensor
) -> float:
    """Set every parameter's gradient of the mean loss over the whole batch; return that loss."""
    learned = targets != IGNORED
    logits = model.hidden_states(ids)[learned] @ model.model.embed_tokens.weight.T
    loss = (
        functional.cross_entropy(logits, targets[learned], reduction="sum") / (all_targets != IGNORED).sum()
    )
    gradients = torch.autograd.grad(loss, parameters)
    flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), loss.detach().reshape(1)])
    distributed.all_reduce(flat)
    parts = flat[:-1].split([parameter.numel() for parameter in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter)
    return float(flat[-1])


def _state_file(folder: Path) -> Path:
    return folder / "state.pt"


def _save(folder: Path, state: dict[str, Any]) -> None:
    partial = folder / "state.partial"
    torch.save(state, partial)
    partial.replace(_state_file(folder))


def _take_up(
    folder: Path, recipe: Recipe, model: PocketModel, muon: Muon, adam: Any
) -> tuple[int, int, float]:
    if not _state_file(folder).exists():
        return 0, 0, 0.0
    state = torch.load(_state_file(folder), weights_only=True)
    if state["recipe"] != asdict(recipe):
        return 0, 0, 0.0
    model.load_state_dict(state["model"])
    muon.load_state_dict(state["muon"])
    adam.load_state_dict(state["adam"])
    return int(state["step"]), int(state["tokens"]), float(state["spent_s"])
