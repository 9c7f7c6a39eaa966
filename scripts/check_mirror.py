"""Each module has its test file at the mirrored path, and each such test file has its module.

`wire/messages/link.py` is tested by `tests/wire/messages/test_link.py`. Exempt by rule:

- `__init__.py` and `__main__.py`: a paragraph and an entry point; what they start has its own tests;
- modules that define no function and no method: pure data has no behaviour of its own, and is tested through the
  modules that read it.

Folders of `tests/` that mirror nothing (`end_to_end`, `simulation`, `fuzz`, `fakes`) are free in their names.
`PROOFS` lists the files among the mirrored ones that prove something of several modules at once.
Run: `python -m scripts.check_mirror`. It prints what is missing or astray and exits 1 when something is.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Final

PACKAGES: Final = ("crypto", "wire", "node", "chat")
MIRRORED: Final = (*PACKAGES, "scripts")
"""Folders whose tests must have a module; the scripts themselves may go without a test."""

PROOFS: Final = frozenset(
    {
        "crypto/noise/test_interop.py",  # the whole handshake against two independent implementations
        "node/slices/test_exact.py",  # a split model computes what the whole one does
    }
)


def untested(root: Path) -> list[str]:
    """One line for each module below `root` that has no test file."""
    lines = []
    for package in PACKAGES:
        for module in sorted((root / package).rglob("*.py")):
            relative = module.relative_to(root)
            test = root / "tests" / relative.parent / f"test_{relative.name}"
            if not test.is_file() and not _exempt(module):
                lines.append(f"{relative} has no test: write {test.relative_to(root)}")
    return lines


def astray(root: Path) -> list[str]:
    """One line for each test file below `root` whose module does not exist."""
    lines = []
    for package in MIRRORED:
        for test in sorted((root / "tests" / package).rglob("test_*.py")):
            relative = test.relative_to(root / "tests")
            module = relative.with_name(relative.name.removeprefix("test_"))
            exists = (root / module).is_file() or (root / module.with_suffix(".sh")).is_file()
            if not exists and str(relative) not in PROOFS:
                lines.append(f"{test.relative_to(root)} tests {module}, which does not exist")
    return lines


def _exempt(module: Path) -> bool:
    if module.name in {"__init__.py", "__main__.py"}:
        return True
    nodes = ast.walk(ast.parse(module.read_text(encoding="utf-8"), filename=str(module)))
    return not any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) for node in nodes)


def main() -> int:
    """Check the tree in the current folder."""
    root = Path.cwd()
    lines = untested(root) + astray(root)
    print("\n".join(lines) if lines else "mirror: every module has its test")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
