from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from node import models_cli
from node.models_cli import ModelsConfig, PublishConfig
from wire.contacts import Contact
from wire.types import Address, ModelId

ROOT = Path(__file__).parents[2]
ID = ModelId(bytes(32))


def test_all_words_after_models_are_heard() -> None:
    words = (
        f"--check --repair --prune 20G --forget {ID} --peer 127.0.0.1:1 --peer [::1]:2 --network club --json"
    )
    assert models_cli.parse_models(words.split()) == ModelsConfig(
        check=True,
        repair=True,
        prune_bytes=20 << 30,
        forget=ID,
        peers=(Contact(address=Address("127.0.0.1", 1)), Contact(address=Address("::1", 2))),
        network="club",
        json=True,
    )


def test_all_words_after_publish_are_heard() -> None:
    found = models_cli.parse_publish("hf:org/name@v1 --out m.manifest --json".split())
    assert found == PublishConfig(model="hf:org/name@v1", out=Path("m.manifest"), json=True)


def test_what_is_not_said_has_a_default() -> None:
    assert models_cli.parse_models([]) == ModelsConfig()
    assert models_cli.parse_publish(["pocket"]) == PublishConfig(model="pocket")


def test_everything_that_nobody_uses_can_be_removed() -> None:
    assert models_cli.parse_models(["--prune", "0"]).prune_bytes == 0


@pytest.mark.parametrize(
    ("parse", "words", "said"),
    [
        (models_cli.parse_models, "--prune much", "'much' is not a size; write 512M or 4G"),
        (models_cli.parse_models, "--prune", "expected one argument"),
        (models_cli.parse_models, "--prune=-1", "not a size between"),
        (models_cli.parse_models, "--forget pocket", "--forget"),
        (models_cli.parse_models, "--peer localhost:1", "'localhost' is not an IP address"),
        (models_cli.parse_models, "--network=", "a network name is 1 to 64"),
        (models_cli.parse_models, "pocket", "unrecognized arguments: pocket"),
        (models_cli.parse_models, "--rep", "unrecognized arguments: --rep"),
        (models_cli.parse_publish, "", "the following arguments are required: MODEL"),
        (models_cli.parse_publish, "a b", "unrecognized arguments: b"),
        (models_cli.parse_publish, "a --out", "expected one argument"),
        (models_cli.parse_publish, "a --check", "unrecognized arguments: --check"),
    ],
)
def test_wrong_usage_ends_with_two_and_a_sentence(
    parse: Callable[[list[str]], object], words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(words.split())
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert "--help` lists the options" in captured.err
    assert captured.out == ""


def test_wrong_usage_is_told_to_a_script_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        models_cli.parse_models(["--json", "--prune", "much"])
    event = json.loads(capsys.readouterr().out)
    assert event["event"] == "error"
    assert "'much' is not a size" in event["message"]


@pytest.mark.parametrize(
    ("parse", "said"),
    [
        (models_cli.parse_models, ["--repair --peer", "exit codes: 0 done, 1 something is damaged"]),
        (models_cli.parse_publish, ["hf:org/name", "exit codes: 0 done"]),
    ],
)
def test_help_has_examples_and_exit_codes(
    parse: Callable[[list[str]], object], said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert all(one in out for one in said)


def test_the_command_lines_are_read_before_anything_heavy_is_imported() -> None:
    program = (
        "import sys; from node import __main__, models_cli\n"
        "models_cli.parse_models(['--check']); models_cli.parse_publish(['a'])\n"
        "print(sorted({'torch', 'transformers', 'huggingface_hub', 'aiohttp', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
