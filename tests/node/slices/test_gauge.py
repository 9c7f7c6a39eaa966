"""What torch is and how fast it computes is told as one object; layers are timed as a host runs them."""

from __future__ import annotations

import json

import pytest
import torch

from node.slices import gauge
from node.store import checkpoint
from wire.tensors import WeightFormat
from wire.types import LayerRange


def test_the_build_is_told_as_torch_has_it() -> None:
    found = gauge.build()
    assert found.torch == torch.__version__
    assert found.right
    assert found.cuda == torch.version.cuda
    assert found.flags["AVX2"] is torch.cpu._is_avx2_supported()


def test_every_format_is_measured_and_none_beats_the_memory_by_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauge, "_BUFFER_BYTES", 64 << 20)
    found = gauge.speed()
    assert [one.weights for one in found.products] == list(gauge.FORMATS)
    assert found.memory_gb_per_s > 0
    for one in found.products:
        # Of bytes in fewer bits there are fewer: the same time means a lower rate.
        assert 0 < one.gb_per_s < 10 * found.memory_gb_per_s
        assert one.ms > 0


@pytest.mark.parametrize("head", [False, True])
def test_layers_of_a_checkpoint_are_timed(head: bool) -> None:
    layers = LayerRange(22, 24)
    took = gauge.token_s(checkpoint.resolve("pocket"), layers, WeightFormat.INT8, "bfloat16", head=head)
    assert 0 < took < 60


def test_the_program_prints_one_object_or_refuses(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    assert gauge.main(["build"]) == 0
    assert json.loads(capsys.readouterr().out)["torch"] == torch.__version__
    assert gauge.main(["everything"]) == 2
    assert capsys.readouterr().out == ""
