"""`lamella plan` reads what was asked for, plans, and prints."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from chat import plan as planning
from chat.cli import main
from chat.errors import ModelError, NoRoute, UsageError
from chat.plan import PlanOptions, model_shape, read_options, run
from node.planning.example import EXAMPLE
from tests.fakes.shapes import shape
from wire.tensors import WeightFormat


@pytest.fixture
def machines(tmp_path: Path) -> Path:
    path = tmp_path / "machines.toml"
    path.write_text(EXAMPLE)
    return path


@pytest.fixture(autouse=True)
def _a_model_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        planning, "model_shape", lambda name: shape(30) if name != "huge" else shape(400, 1_000)
    )


def test_words_become_options() -> None:
    given = {"planned": "m", "machines": "f.toml", "weights": "int8", "context": "64", "sessions": "3"}
    assert read_options(given | {"front_layers": "2", "private_ends": True}, as_json=True) == PlanOptions(
        model="m",
        machines=Path("f.toml"),
        weights=WeightFormat.INT8,
        context=64,
        sessions=3,
        front_layers=2,
        private_ends=True,
        json=True,
    )
    plain = read_options({"planned": "m", "machines": "f"}, as_json=False)
    assert (plain.weights, plain.context, plain.sessions, plain.front_layers) == (None, None, 1, None)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"planned": "m"}, "Plan for which machines"),
        ({"planned": "m", "machines": "f", "temperature": "2"}, "--temperature is not for `lamella plan`"),
        (
            {"planned": "m", "machines": "f", "sessions": "0"},
            "--sessions must be a whole number from 1 to 256",
        ),
        ({"planned": "m", "machines": "f", "weights": "int3"}, "--weights must be one of native, int8"),
        ({"planned": "m", "machines": "~nobody-at-all/f"}, "--machines: "),
    ],
)
def test_what_cannot_be_asked_for_is_refused(words: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        read_options(words, as_json=False)


def test_the_command_prints_a_plan(machines: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "m", "--machines", str(machines)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "lamella-node --model m --layers" in out
    assert "tokens/s of one session alone (an estimate)" in out


def test_the_plan_for_a_script_is_one_object(machines: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "m", "--machines", str(machines), "--json", "--sessions=2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["model"], told["sessions"], told["context"]) == ("m", 2, 4_096)
    assert told["estimate"]["tokens_per_s"] > 0


def test_what_goes_wrong_has_its_own_error(machines: Path, tmp_path: Path) -> None:
    out = io.StringIO()
    with pytest.raises(UsageError, match=r"cannot be read"):
        run(PlanOptions(model="m", machines=tmp_path / "none.toml"), out=out)
    with pytest.raises(NoRoute, match=r"another machine with \S+ would hold the rest"):
        run(PlanOptions(model="huge", machines=machines), out=out)
    assert out.getvalue() == ""
    with pytest.raises(NoRoute):
        run(PlanOptions(model="huge", machines=machines, json=True), out=out)
    assert json.loads(out.getvalue())


def test_a_model_that_is_not_here_is_named() -> None:
    with pytest.raises(ModelError, match="there is no model 'none'"):
        model_shape("none")


def test_the_pocket_model_can_be_planned_for() -> None:
    assert model_shape("pocket").num_layers == 24


def test_help_has_an_example_that_can_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["plan", "--help"])
    shown = capsys.readouterr().out
    assert 'between = ["desk", "attic"]' in shown
    assert (
        max(map(len, shown.partition("an example of FILE")[2].partition("exit codes")[0].splitlines())) <= 80
    )
