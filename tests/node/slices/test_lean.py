from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from node.slices import lean

ROOT = Path(__file__).parents[3]
HEAVY = (
    "sympy",
    "torch._dynamo",
    "torch._inductor",
    "torch.distributed.tensor",
    "torch.fx.experimental.symbolic_shapes",
)
LOADED = f"print([name for name in {HEAVY} if lean.is_loaded(name)])"
SERVE = f"""
from node.slices import lean
from node.slices.load import load_slice
from node.slices.spec import SliceSpec, Want
from node.store import checkpoint
from wire.types import LayerRange
import torch

layers = LayerRange(2, 5)
held = load_slice(SliceSpec(checkpoint=checkpoint.resolve("pocket"), layers=layers))
cache = held.new_cache(layers)
token = torch.ones(1, 1, 128, dtype=torch.bfloat16)
for position in range(3):
    held.forward(token, cache=cache, position=position, want=Want.HIDDEN)
{LOADED}
"""
COMPILE = f"""
from node.slices import lean
import torch
from transformers.models.qwen2 import modeling_qwen2
{LOADED}
add = torch.compile(lambda x: x + x.shape[0], backend="eager", dynamic=True)
print([add(torch.ones(size)).sum().item() for size in (2, 3, 4)])
print([name for name in {HEAVY[:2]} if lean.is_loaded(name)])
"""
PART = """
import node.slices
import torch._dynamo.eval_frame
print(torch._dynamo.eval_frame.innermost_fn.__name__, torch._dynamo.disable.__module__)
"""
MODELS = """
import node.slices
import transformers
from transformers.utils import import_utils
folder = transformers.__path__[0] + "/models"
kept = import_utils.create_import_structure_from_path(folder + "/__init__.py")
kept["qwen3"].clear()
again = import_utils.create_import_structure_from_path(folder)
print(again == import_utils.create_import_structure_from_path.__wrapped__(folder), len(again) > 300)
"""
SYMBOLS = """
from node.slices import lean
from torch.fx.experimental import symbolic_shapes
from torch.fx.experimental.symbolic_shapes import expect_true, has_guarding_hint, is_nested_int, sym_and, sym_eq, sym_or
import sympy, torch

print(expect_true(True), has_guarding_hint(3), is_nested_int(3), sym_and(True, False), sym_or(True, False))
print(sym_eq((1, 2), [1, 2]), sym_eq((1, 2), (1, 3)), sym_eq((1,), (1, 2)), sym_eq(2, 2))
print(isinstance(3, sympy.Basic), lean.is_loaded("sympy"))
basic = sympy.Basic
size = symbolic_shapes.ShapeEnv().create_unbacked_symint()
print(lean.is_loaded("sympy"), isinstance(size, torch.SymInt), isinstance(size.node.expr, basic))
print(type(sym_eq(size, 3)).__name__, has_guarding_hint(size), type(sym_and(size == 3, True)).__name__)
"""


def said(program: str) -> list[str]:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


def test_a_host_computes_without_any_of_it() -> None:
    assert said(SERVE) == ["[]"]


def test_the_compiler_is_there_for_whoever_asks_for_it() -> None:
    assert said(COMPILE) == ["[]", "[6.0, 12.0, 20.0]", "['sympy', 'torch._dynamo']"]


def test_a_part_of_the_compiler_brings_the_whole() -> None:
    assert said(PART) == ["innermost_fn torch._dynamo.decorators"]


def test_plain_numbers_have_plain_answers_and_symbols_those_of_torch() -> None:
    assert said(SYMBOLS) == [
        "True True False False True",
        "True False False True",
        "False False",
        "True True True",
        "SymBool False SymBool",
    ]


def test_what_is_in_which_file_is_kept_and_not_shared() -> None:
    assert said(MODELS) == ["True True"]


def test_it_is_installed_once() -> None:
    before = list(sys.meta_path)
    lean.install()
    assert sys.meta_path == before


PATTERNS = """
import re
import node.slices
from transformers import core_model_loading as loading
pattern = loading.re.compile("(?P<name>a+)b")
print(pattern.search("xaab").group("name"), dict(pattern.groupindex), loading.re.sub is re.sub)
print(type(loading.WeightRenaming("a", "b").compiled_sources).__module__)
"""
INDEX = """
import node.slices, transformers
from pathlib import Path
from node.slices import import_index
folder = Path(transformers.__path__[0], "models")
from transformers.utils import import_utils
print(import_index.load(folder) == import_utils.create_import_structure_from_path.__wrapped__(folder))
"""


def test_patterns_are_compiled_when_they_are_used() -> None:
    assert said(PATTERNS) == ["aa {'name': 1} True", "node.slices.lean"]


def test_what_is_in_which_file_is_kept_between_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert said(INDEX) == ["True"]
    assert said(INDEX) == ["True"]
