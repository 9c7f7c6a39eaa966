from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from node import quantise_cli
from node.quantise_cli import QuantiseConfig
from wire.tensors import WeightFormat

ROOT = Path(__file__).parents[2]


def test_all_words_are_heard() -> None:
    words = (
        "--model pocket --weights int4-64 --out /tmp/o --text t.txt --tokens 64 --threads 2 --json".split()
    )
    assert quantise_cli.parse(words) == QuantiseConfig(
        model="pocket",
        weights=WeightFormat.INT4_64,
        out=Path("/tmp/o"),
        text=Path("t.txt"),
        tokens=64,
        threads=2,
        json=True,
    )


def test_what_is_not_said_has_a_default() -> None:
    config = quantise_cli.parse("--model a --weights int8 --out ~/o".split())
    assert config == QuantiseConfig(model="a", weights=WeightFormat.INT8, out=Path.home() / "o")
    assert config.measure
    assert not quantise_cli.parse("--model a --weights int8 --out o --no-measure".split()).measure


def test_only_the_first_word_names_the_command() -> None:
    assert quantise_cli.wanted(["quantise", "--help"])
    assert not quantise_cli.wanted(["--model", "quantise"])
    assert not quantise_cli.wanted([])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "the following arguments are required: --model, --weights, --out"),
        ("--model a --out o", "required: --weights"),
        ("--model a --weights native --out o", "invalid choice: 'native'"),
        ("--model a --weights int8 --out /", "names no file or folder"),
        ("--model a --weights int8 --out ~nobody-here/o", "--out"),
        ("--model a --weights int8 --out o --tokens 1", "'1' is not a number from 2 to 65536"),
        ("--model a --weights int8 --out o --tokens ²", "is not a number from 2"),
        (f"--model a --weights int8 --out o --tokens {'9' * 5000}", "is not a number from 2"),
        ("--model a --weights int8 --out o --threads 0", "is not a number from 1 to 256"),
        ("--model a --weights int8 --out o --no-measure --text t", "--no-measure leaves no use"),
        ("--model a --weights int8 --out o more", "unrecognized arguments: more"),
    ],
)
def test_wrong_usage_ends_with_two_and_a_sentence(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        quantise_cli.parse(words.split())
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert "`lamella-node quantise --help` lists the options" in captured.err
    assert captured.out == ""


def test_help_says_what_to_do_with_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        quantise_cli.parse(["--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "lamella-node --model ~/models/qwen-int8" in out
    assert "exit codes: 0 done" in out


def test_the_command_line_is_read_before_anything_heavy_is_imported() -> None:
    program = (
        "import sys; from node import __main__, quantise_cli\n"
        "quantise_cli.parse(['--model', 'a', '--weights', 'int8', '--out', 'o'])\n"
        "print(sorted({'torch', 'transformers', 'tokenizers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
