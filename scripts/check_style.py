"""The rules of this repository that the linter has no rule for: file lengths, banned names, broad handlers, asserts,
exceptions to other rules without their reason.

Run: `python -m scripts.check_style`. It prints one line for each finding and exits 1 when there is one.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PACKAGES: Final = ("crypto", "wire", "node", "chat")
SOURCES: Final = (*PACKAGES, "scripts", "tests")
MAX_LINES: Final = 400
BANNED_STEMS: Final = frozenset({"utils", "util", "helpers", "helper", "common", "misc", "manager"})
BANNED_CALLS: Final = frozenset({"eval", "exec", "torch.load", "pickle.load", "pickle.loads"})
CRASH_REPORTERS: Final = frozenset({"__main__.py"})
"""Entry points may catch everything, to print one sentence instead of a traceback."""
_EXCEPTION: Final = re.compile(
    r"#\s*(?:type:\s*ignore(?:\[[^\]]*\])?|noqa\b(?::\s*[A-Z0-9]+(?:,\s*[A-Z0-9]+)*)?)"
)


def findings(root: Path) -> Iterator[str]:
    """Yield `path:line: what is wrong` for every broken rule below `root`."""
    for name in SOURCES:
        for path in sorted((root / name).rglob("*")):
            if "__pycache__" in path.parts or path.suffix not in {".py", ".sh", ".tcss"}:
                continue
            relative = path.relative_to(root)
            yield from _file_findings(relative, path.read_text(encoding="utf-8"))


def _file_findings(path: Path, source: str) -> Iterator[str]:
    lines = source.count("\n")
    if lines > MAX_LINES:
        yield f"{path}:{MAX_LINES}: {lines} lines; split it by idea, {MAX_LINES} are the most"
    for part in (*path.parts[:-1], path.stem):
        if part in BANNED_STEMS:
            yield f"{path}:1: {part!r} names no concept; call it by what it does"
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(source, filename=str(path))):
            for line, text in _node_findings(path, node):
                yield f"{path}:{line}: {text}"
        for line in _without_reason(source):
            yield f"{path}:{line}: a checker is told to look away; say why, on the line or above it"


def _node_findings(path: Path, node: ast.AST) -> Iterator[tuple[int, str]]:
    in_tests = path.parts[0] == "tests"
    if isinstance(node, ast.Assert) and not in_tests:
        yield node.lineno, "assert is for tests; check the value and raise an error of the package"
    if isinstance(node, ast.ExceptHandler) and path.name not in CRASH_REPORTERS:
        caught = _broad(node)
        if caught and not _hands_on(node) and (caught == "Exception" or not _raises_again(node)):
            yield node.lineno, f"{caught} is caught; name the errors that can happen here"
    if isinstance(node, ast.Call) and ast.unparse(node.func) in BANNED_CALLS:
        yield node.lineno, f"{ast.unparse(node.func)} runs what it is given"


def _without_reason(source: str) -> Iterator[int]:
    """The lines of `noqa` and `type: ignore` without words; those of the line above, if it is a comment, count."""
    explained: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line, column = token.start
        told = _EXCEPTION.search(token.string)
        if told is None:
            if not token.line[:column].strip():
                explained.add(line)
        elif line - 1 in explained or any(one.isalpha() for one in token.string.replace(told[0], "")):
            explained.add(line)
        else:
            yield line


def _broad(handler: ast.ExceptHandler) -> str:
    """The name under which a handler catches everything, or nothing."""
    if handler.type is None:
        return "everything"
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {ast.unparse(one) for one in caught}
    return next((name for name in ("Exception", "BaseException") if name in names), "")


def _raises_again(handler: ast.ExceptHandler) -> bool:
    """Whether the handler ends by letting the error go on, as a repair on cancellation does."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _hands_on(handler: ast.ExceptHandler) -> bool:
    """Whether all the handler does is keep the error for whoever waits for it in another thread or task."""
    only = handler.body[0] if len(handler.body) == 1 else None
    return isinstance(only, ast.Assign) and ast.unparse(only.value) == handler.name


def main() -> int:
    """Check the tree in the current folder."""
    found = list(findings(Path.cwd()))
    print("\n".join(found) if found else "style: no findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
