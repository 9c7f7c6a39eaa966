from __future__ import annotations

import argparse
import json

import pytest

from node import command_line
from node.command_line import Parser


def test_a_complaint_is_one_sentence_that_ends_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        Parser(prog="a-program").parse_args(["--none"])
    captured = capsys.readouterr()
    assert ended.value.code == 2
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.endswith("unrecognized arguments: --none; `a-program --help` lists the options\n")


def test_an_option_that_is_nearly_right_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog="a-program")
    parser.add_argument("--layers")
    with pytest.raises(SystemExit):
        parser.parse_args(["--layrs=6:12", "x"])
    assert "--layrs=6:12 x; did you mean --layers?; `a-program --help`" in capsys.readouterr().err


def test_a_script_is_told_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog="a-program")
    parser.as_json = True
    with pytest.raises(SystemExit):
        parser.parse_args(["--none"])
    assert "--none" in json.dumps(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("text", ["1", "256", "007"])
def test_a_number_in_its_bounds_is_read(text: str) -> None:
    assert command_line.threads(text) == int(text)


@pytest.mark.parametrize("text", ["", "0", "257", "-1", "1.0", "²", "٣", " 1", "9" * 5000])
def test_anything_else_is_no_number(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not a number from 1 to 256$"):
        command_line.threads(text)
