"""A slice on a GPU. Nearly all of it is tested on stand-ins; `pytest -m gpu` proves it on a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from node.slices import device, portable_cache
from node.slices.errors import InvalidSlice, OutOfMemoryBudget
from node.slices.kernels.linear import KernelLinear
from node.slices.load import load_slice
from node.slices.slice import Slice
from node.slices.spec import SliceSpec, Want
from node.slices.together import Step
from node.store import checkpoint
from tests.fakes import gpu, quantised_folder
from tests.node.slices.conftest import TinyModels
from wire.tensors import WeightFormat
from wire.types import LayerRange

WHOLE = LayerRange(0, 5)
PROMPT = torch.tensor([[5, 9, 77, 31, 8, 100, 64, 12, 3, 90, 41, 7, 55]])


def load(tiny: TinyModels, family: str, layers: LayerRange, name: str, **options: Any) -> Slice:
    options.setdefault("dtype", "float32")
    spec = SliceSpec(
        checkpoint=tiny(family),
        layers=layers,
        embed=layers.start == 0,
        head=layers.end == 5,
        device=name,
        **options,
    )
    return load_slice(spec)


def answers(pieces: list[Slice], steps: int = 6) -> list[torch.Tensor]:
    """The logits of a chain of slices: a prompt, then the likeliest token each time."""
    caches = [piece.new_cache(piece.spec.layers) for piece in pieces]
    x, position, out = PROMPT, 0, []
    for _ in range(steps):
        value = x
        for piece, cache in zip(pieces, caches, strict=True):
            want = Want.LOGITS if piece is pieces[-1] else Want.HIDDEN
            value = piece.forward(value, cache=cache, position=position, want=want)
            assert value.device == device.HOST
        out.append(value)
        position += x.shape[1]
        x = value.argmax().view(1, 1)
    return out


def reference(whole: Any, on: torch.device, steps: int = 6) -> list[torch.Tensor]:
    """The same by transformers' own model."""
    cache, x, out = None, PROMPT, []
    for _ in range(steps):
        with torch.inference_mode():
            got = whole(x.to(on), past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = got.past_key_values
        out.append(got.logits[0, -1].float().cpu())
        x = out[-1].argmax().view(1, 1)
    return out


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def cuda_with(monkeypatch: pytest.MonkeyPatch, count: int) -> list[torch.device]:
    """Let torch say that it sees so many GPUs; gives those that are made current."""
    current: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    return current


def test_without_a_gpu_the_reason_and_the_next_step_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda_with(monkeypatch, 0)
    assert device.opened("cpu") == device.HOST
    with pytest.raises(
        InvalidSlice, match=r"no CUDA device; install a CUDA build of torch.*leave --device out"
    ):
        device.opened("cuda")


def test_a_gpu_is_the_first_or_the_one_of_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    current = cuda_with(monkeypatch, 2)
    assert device.opened("cuda") == torch.device("cuda", 0)
    assert device.opened("cuda:1") == torch.device("cuda", 1)
    assert current == [torch.device("cuda", 0), torch.device("cuda", 1)]
    assert not torch.backends.cudnn.allow_tf32
    with pytest.raises(InvalidSlice, match=r"no cuda:2, only 2 CUDA.*choose from cuda:0 to cuda:1"):
        device.opened("cuda:2")


def test_a_slice_is_not_loaded_for_a_gpu_that_is_not_there(
    tiny: TinyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda_with(monkeypatch, 0)
    with pytest.raises(InvalidSlice, match="no CUDA device"):
        load(tiny, "llama", WHOLE, "cuda")


def test_sessions_get_half_of_what_a_gpu_has_free_and_no_more_than_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu.on_cpu(monkeypatch)
    assert device.kv_bytes("cpu", None, 77) == 77
    assert device.kv_bytes("cpu", 1 << 40, 77) == 1 << 40
    assert device.kv_bytes("cuda", None, 77) == 1 << 19
    assert device.kv_bytes("cuda", 1 << 20, 77) == 1 << 20
    with pytest.raises(OutOfMemoryBudget):
        device.kv_bytes("cuda", (1 << 20) + 1, 77)


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt_oss", "deepseek_v3"])
def test_in_float32_the_path_of_a_gpu_computes_what_that_of_the_cpu_does(
    tiny: TinyModels, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = answers([load(tiny, family, WHOLE, "cpu")])
    gpu.on_cpu(monkeypatch)
    pieces = [load(tiny, family, layers, "cuda") for layers in map(LayerRange.parse, ("0:2", "2:3", "3:5"))]
    assert not any(piece.record_layers() for piece in pieces)
    assert same(answers(pieces), expected)


def test_sessions_are_computed_together_and_carried_over_on_a_gpu_as_on_the_cpu(
    tiny: TinyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(piece: Slice) -> list[torch.Tensor]:
        caches = [piece.new_cache(WHOLE) for _ in range(3)]
        for index, cache in enumerate(caches[:2]):
            piece.forward(PROMPT[:, : 4 + index], cache=cache, position=0, want=Want.LOGITS)
        portable_cache.import_(caches[2], portable_cache.export(caches[0], "model"), "model")
        steps = [Step(PROMPT[:, -1:], cache, cache.length, Want.LOGITS) for cache in caches]
        results = piece.forward_all(steps)
        assert piece.last_forward_was_shared
        out = [one for one in results if isinstance(one, torch.Tensor)]
        assert torch.equal(out[0], out[2])
        return out

    expected = run(load(tiny, "qwen3", WHOLE, "cpu"))
    gpu.on_cpu(monkeypatch)
    assert same(run(load(tiny, "qwen3", WHOLE, "cuda")), expected)


def test_in_bfloat16_a_gpu_runs_the_familys_own_modules_and_no_kernel_of_ours(
    tiny: TinyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu.on_cpu(monkeypatch)
    piece = load(tiny, "llama", WHOLE, "cuda", dtype="bfloat16")
    assert not any(isinstance(module, KernelLinear) for module in piece._model.modules())
    assert piece.record_layers() == 0
    whole = AutoModelForCausalLM.from_pretrained(tiny("llama"), dtype=torch.bfloat16).eval()
    assert same(answers([piece]), reference(whole, device.HOST))


def test_on_the_cpu_our_kernels_and_recordings_stay(tiny: TinyModels) -> None:
    piece = load(tiny, "llama", WHOLE, "cpu", dtype="bfloat16")
    assert any(isinstance(module, KernelLinear) for module in piece._model.modules())
    assert piece.record_layers() == 5


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt_oss", "deepseek_v3", "opt", "mamba"])
@pytest.mark.parametrize("layers", [LayerRange(0, 5), LayerRange(1, 3)])
def test_nothing_of_a_slice_is_left_behind(
    tiny: TinyModels, family: str, layers: LayerRange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was not moved would meet what was: an error, also on torch's device without memory."""
    gpu.on_meta(monkeypatch)
    piece = load(tiny, family, layers, "cuda", dtype="bfloat16")
    text = layers.start == 0
    want = Want.LOGITS if layers.end == 5 else Want.HIDDEN
    caches = [piece.new_cache(layers) for _ in range(2)]
    for cache in caches:
        x = PROMPT if text else torch.zeros(1, 13, piece.width)
        assert piece.forward(x, cache=cache, position=0, want=want).device == device.HOST
        assert {tensor.device.type for tensor in cache.held().values()} == {"meta"}
    results = piece.forward_all([Step(x[:, :1], cache, 13, want) for cache in caches])
    assert all(isinstance(one, torch.Tensor) for one in results)
    assert piece.last_forward_was_shared is piece.steps_together


class Stubborn(nn.Module):
    """A model with a tensor that torch does not know of, and perhaps too large."""

    def __init__(self, *, too_large: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.table = torch.ones(4)
        self.too_large = too_large

    def to(self, *args: Any, **options: Any) -> Any:
        if self.too_large:
            raise torch.OutOfMemoryError("tried to allocate 3 GiB")
        return super().to(*args, **options)


def test_tensors_that_are_plain_attributes_are_moved_too(
    tiny: TinyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu.on_meta(monkeypatch)
    model = Stubborn()
    spec = SliceSpec(checkpoint=tiny("llama"), layers=WHOLE, device="cuda")
    device.place(model, spec, embed=True)
    assert model.weight.is_meta and model.table.is_meta


def test_a_slice_that_does_not_fit_is_told_so(tiny: TinyModels, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu.on_meta(monkeypatch)
    spec = SliceSpec(checkpoint=tiny("llama"), layers=WHOLE, device="cuda:1")
    with pytest.raises(InvalidSlice, match=r"0:5 do not fit on cuda:1 .*3 GiB.*serve fewer layers"):
        device.place(Stubborn(too_large=True), spec, embed=True)


def test_a_folder_that_was_quantised_ahead_of_time_is_for_the_cpu(
    tiny: TinyModels, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = quantised_folder.make(tiny("llama"), WeightFormat.INT8, tmp_path / "int8")
    gpu.on_cpu(monkeypatch)
    spec = SliceSpec(checkpoint=folder, layers=WHOLE, weights=WeightFormat.INT8, device="cuda")
    with pytest.raises(InvalidSlice, match="only --device cpu can use so far; give the checkpoint"):
        load_slice(spec)


def test_weights_of_fewer_bits_go_through_torchao_and_experts_are_refused(
    tiny: TinyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu.on_cpu(monkeypatch)
    torchao = gpu.Torchao()
    torchao.install(monkeypatch)
    options = {"dtype": "bfloat16", "weights": WeightFormat.INT8}
    native = answers([load(tiny, "llama", WHOLE, "cuda", dtype="bfloat16")])
    assert not same(answers([load(tiny, "llama", WHOLE, "cuda", **options)]), native)
    assert {name for _, name, _ in torchao.asked} == {"Int8WeightOnlyConfig"}
    with pytest.raises(InvalidSlice, match="experts are not kept in int8 on a GPU; serve native weights"):
        load(tiny, "mixtral", WHOLE, "cuda", **options)


@pytest.mark.gpu
@pytest.mark.parametrize("family", ["llama", "gemma3_text"])
def test_on_a_gpu_every_cut_equals_the_whole_model_bit_for_bit(tiny: TinyModels, family: str) -> None:
    on = device.opened("cuda")
    whole = AutoModelForCausalLM.from_pretrained(tiny(family), dtype=torch.float32).eval().to(on)
    expected = reference(whole, on, steps=24)
    for a in range(4):
        for b in range(a + 1, 5):
            cuts = (LayerRange(0, a), LayerRange(a, b), LayerRange(b, 5))
            assert same(answers([load(tiny, family, one, "cuda") for one in cuts], steps=24), expected)


@pytest.mark.gpu
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("weights", "bound"),
    [(WeightFormat.NATIVE, 0.03), (WeightFormat.INT8, 0.05), (WeightFormat.INT4_128, 0.3)],
)
def test_on_a_gpu_the_pocket_model_answers_nearly_as_on_the_cpu(weights: WeightFormat, bound: float) -> None:
    """`int4-128` needs compute capability 8.0 and the extra `cuda`, as `int8` does."""
    layers = LayerRange(0, 24)
    fields: dict[str, Any] = {"checkpoint": checkpoint.resolve(checkpoint.POCKET), "layers": layers}
    found = []
    for name, kept in (("cpu", WeightFormat.NATIVE), ("cuda", weights)):
        piece = load_slice(SliceSpec(**fields, embed=True, head=True, device=name, weights=kept))
        cache = piece.new_cache(layers)
        found.append(piece.forward(PROMPT, cache=cache, position=0, want=Want.LOGITS))
    assert (found[1] - found[0]).norm() / found[0].norm() < bound
