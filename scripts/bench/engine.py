"""Measures one process with a whole model: our engine, transformers eager and llama.cpp, as ratios within one run.

    python -m scripts.bench.engine                      # random weights in the shape of Qwen2.5-0.5B
    python -m scripts.bench.engine --rounds 5 --json

Every engine is a process of its own that has loaded the model; the rounds go from one to the next, so that what else
the machine does falls on all of them. Ratios are of medians over all rounds. llama.cpp needs the `bench` extra
(`.venv/bin/pip install -e .[bench]`) and a qwen2 model; without it its rows are left out and the output says so.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from node.store import checkpoint
from scripts.bench import options, shapes
from scripts.bench.machine import processor

_ENGINES: Final = "scripts.bench.engines"
_FORMATS: Final = {"native": "BF16", "int8": "Q8_0", "int4-32": "Q4_0"}
"""Ours, and the format of llama.cpp with as many bits."""


@dataclass(slots=True)
class Row:
    """One engine in one format."""

    engine: str
    weights: str
    steps_s: list[float] = field(default_factory=list)
    prefills_s: list[float] = field(default_factory=list)
    decode_tokens_per_s: float = 0.0
    prefill_tokens_per_s: float = 0.0

    def finish(self, prompt: int) -> None:
        """Take the medians."""
        self.decode_tokens_per_s = 1 / statistics.median(self.steps_s)
        self.prefill_tokens_per_s = prompt / statistics.median(self.prefills_s)


def rows(folder: Path, dtype: str, threads: int, scratch: Path) -> list[tuple[Row, Sequence[str]]]:
    """Every engine that can run here, with the words that start it."""
    found: list[tuple[Row, Sequence[str]]] = [
        (Row("transformers", "native"), (f"{_ENGINES}.eager", str(folder), dtype, str(threads)))
    ]
    ours = (f"{_ENGINES}.ours", str(folder), dtype, str(threads))
    found += [(Row("lamella", weights), (*ours, weights)) for weights in _FORMATS]
    if importlib.util.find_spec("llama_cpp") is None or importlib.util.find_spec("gguf") is None:
        print("llama.cpp is not installed (the `bench` extra); its rows are left out", file=sys.stderr)
        return found
    for weights, kind in _FORMATS.items():
        file = scratch / f"{folder.name}-{kind}.gguf"
        if not file.is_file():
            print(f"writing {file}", file=sys.stderr)
            partial = file.with_suffix(".partial")
            _run(f"{_ENGINES}.gguf_file", str(folder), str(partial), kind)
            partial.rename(file)
        found.append((Row("llama.cpp", weights), (f"{_ENGINES}.llama_cpp", str(file), str(threads))))
    return found


@contextmanager
def running(words: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """One engine's process, loaded."""
    command = [sys.executable, "-m", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            _line(process)
            yield process
        finally:
            process.terminate()


def ask(process: subprocess.Popen[str], prompt: int, tokens: int) -> dict[str, Any]:
    """Take one measurement."""
    if process.stdin is None:
        raise RuntimeError("the engine has no standard input")
    process.stdin.write(json.dumps({"prompt": prompt, "tokens": tokens, "chunk": 0}) + "\n")
    process.stdin.flush()
    return _line(process)


def main() -> None:
    """Measure and print."""
    parser = options.parser(__doc__, rounds=5, computes=True)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--tokens", type=int, default=16, help="decode steps a round")
    parser.add_argument("--prompt", type=int, default=512, help="tokens of the prefill")
    arguments = parser.parse_args()
    folder = checkpoint.resolve(shapes.folder(arguments.model))
    with ExitStack() as stack:
        started = [
            (row, stack.enter_context(running(words)))
            for row, words in rows(folder, arguments.dtype, arguments.threads, Path(tempfile.gettempdir()))
        ]
        for _, process in started:
            ask(process, 32, 2)
        for index in range(arguments.rounds):
            for row, process in started:
                got = ask(process, arguments.prompt, arguments.tokens)
                row.steps_s += got["steps_s"]
                row.prefills_s.append(got["prefill_s"])
            print(f"round {index + 1} of {arguments.rounds} done", file=sys.stderr)
    measured = [row for row, _ in started]
    for row in measured:
        row.finish(arguments.prompt)
    machine = f"{processor()}, {arguments.threads} threads"
    if arguments.json:
        print(
            json.dumps({"machine": machine, "model": folder.name, "rows": [asdict(row) for row in measured]})
        )
        return
    print(
        f"{folder.name}, {machine}, medians of {arguments.rounds} rounds; ratios to transformers and llama.cpp"
    )
    for row in measured:
        print(_line_of(row, measured))


def _line_of(row: Row, measured: Sequence[Row]) -> str:
    eager = measured[0]
    words = (
        f"{row.engine:13s}{row.weights:9s} decode {row.decode_tokens_per_s:7.2f} tokens/s "
        f"{row.decode_tokens_per_s / eager.decode_tokens_per_s:5.2f}x"
    )
    prefill = (
        f"prefill {row.prefill_tokens_per_s:7.1f} tokens/s "
        f"{row.prefill_tokens_per_s / eager.prefill_tokens_per_s:5.2f}x"
    )
    other = [one for one in measured if (one.engine, one.weights) == ("llama.cpp", row.weights)]
    if row.engine == "lamella" and other:
        words += f" {row.decode_tokens_per_s / other[0].decode_tokens_per_s:5.2f}x"
        prefill += f" {row.prefill_tokens_per_s / other[0].prefill_tokens_per_s:5.2f}x"
    return f"{words:56s} {prefill}"


def _run(module: str, *words: str) -> None:
    subprocess.run([sys.executable, "-m", module, *words], check=True, stdout=sys.stderr)


def _line(process: subprocess.Popen[str]) -> dict[str, Any]:
    if process.stdout is None:
        raise RuntimeError("the engine has no standard output")
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("the engine's process ended; its error is above")
    answer: dict[str, Any] = json.loads(line)
    return answer


if __name__ == "__main__":
    main()
