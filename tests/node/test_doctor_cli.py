"""The words of `doctor`, `diagnostics` and `suggest` become values, and wrong ones a sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from node.doctor_cli import (
    CHECKS,
    DiagnosticsConfig,
    DoctorConfig,
    SuggestConfig,
    parse_diagnostics,
    parse_doctor,
    parse_suggest,
)
from wire.tensors import WeightFormat
from wire.types import Address

ROOT = Path(__file__).parents[2]


def test_nothing_said_means_everything_as_usual() -> None:
    assert parse_doctor([]) == DoctorConfig()
    assert parse_diagnostics([]) == DiagnosticsConfig()
    assert parse_suggest([]) == SuggestConfig()


def test_every_option_has_its_value() -> None:
    words = "--only ports --only disk --config c --identity key --socket s --listen 127.0.0.1:1 --disk 1G"
    words += " --memory 2G --threads 3"
    doctor = DoctorConfig(
        only=("ports", "disk"),
        config=Path("c"),
        identity_file=Path("key"),
        socket=Path("s"),
        listen=(Address("127.0.0.1", 1),),
        disk_bytes=1 << 30,
        memory_bytes=2 << 30,
        threads=3,
        json=True,
    )
    assert parse_doctor([*words.split(), "--json"]) == doctor
    found = parse_diagnostics([*words.split(), "--json", "--out", "o"])
    assert found == DiagnosticsConfig(out=Path("o"), doctor=doctor, json=True)
    words = "--model a --model b --model a --memory 6G --weights int8 --context 512 --threads 2"
    assert parse_suggest([*words.split(), "--uplink", "20", "--downlink", "0.5"]) == SuggestConfig(
        models=("a", "b"),
        memory_bytes=6 << 30,
        weights=WeightFormat.INT8,
        context=512,
        threads=2,
        uplink_mbit=20.0,
        downlink_mbit=0.5,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("doctor", "--only", "everything"), "invalid choice"),
        (("doctor", "--listen", "nowhere"), "not an address"),
        (("suggest", "--uplink", "-1"), "not a rate"),
        (("suggest", "--uplink", "nan"), "not a rate"),
        (("suggest", "--weights", "int3"), "not one of native"),
        (("suggest", "--context", "0"), "not a number"),
        (("suggest", *["--model=a", "--model=b"] * 5), "at most 8"),
        (("diagnostics", "extra"), "unrecognized"),
    ],
)
def test_wrong_words_are_told(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    parse = {"doctor": parse_doctor, "suggest": parse_suggest, "diagnostics": parse_diagnostics}[words[0]]
    with pytest.raises(SystemExit) as caught:
        parse(words[1:])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_help_lists_every_check_and_needs_neither_torch_nor_numpy(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_doctor(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert all(one in shown for one in CHECKS)
    code = (
        "import sys, node.doctor_cli as c; c.parse_suggest([]); print({'torch', 'numpy'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"
