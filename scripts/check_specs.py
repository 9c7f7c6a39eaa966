"""The tables of `specs/*.md` and `MORE` say what the code says: they are made from it, and this checks that they are.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. Every table that `scripts.spec_tables` can make must
stand on exactly one page. Run: `python -m scripts.check_specs` to compare, with `--write` (`make docs`) to
rewrite. It prints what differs and exits 1 when something does.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.spec_tables import tables

START: Final = re.compile(r"^<!-- table: (\S+) -->$")
END: Final = "<!-- end -->"
MORE: Final = ("docs/configuration.md", "docs/metrics.md")
"""Pages with tables that are no specifications."""
SHOWN_LINES: Final = 12
"""Lines of a difference that are printed; the rest is the same kind of thing."""


class BadMarkers(Exception):
    """The markers of a page do not pair up, or name a table that does not exist."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A page with its tables made anew, and which tables it holds."""

    text: str
    names: tuple[str, ...]


def render(text: str, makers: Mapping[str, Callable[[], str]]) -> Rendered:
    """Fill the tables of one page. Raises `BadMarkers` with the line at fault."""
    lines: list[str] = []
    names: list[str] = []
    inside: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        start = START.match(line)
        if start and inside is not None:
            raise BadMarkers(f"line {number}: table {start[1]} begins before table {inside} ends")
        if start:
            if start[1] not in makers:
                raise BadMarkers(
                    f"line {number}: no table is called {start[1]}; there are {', '.join(sorted(makers))}"
                )
            inside = start[1]
            names.append(inside)
            lines += [line, "", makers[inside](), "", END]
        elif line == END:
            if inside is None:
                raise BadMarkers(f"line {number}: an end without a table")
            inside = None
        elif inside is None:
            lines.append(line)
    if inside is not None:
        raise BadMarkers(f"table {inside} never ends")
    return Rendered("\n".join(lines) + "\n", tuple(names))


def check(pages: Iterable[Path], makers: Mapping[str, Callable[[], str]], *, write: bool) -> list[str]:
    """Compare or rewrite these pages; return one entry for each thing that is wrong."""
    wrong: list[str] = []
    places: dict[str, list[str]] = {name: [] for name in makers}
    for path in sorted(pages):
        text = path.read_text(encoding="utf-8")
        try:
            rendered = render(text, makers)
        except BadMarkers as error:
            wrong.append(f"{path.name}: {error}")
            continue
        for name in rendered.names:
            places[name].append(path.name)
        if rendered.text == text:
            continue
        if write:
            path.write_text(rendered.text, encoding="utf-8")
            print(f"specs: rewrote {path.name}")
        else:
            wrong.append(
                f"{path.name} differs from the code; run `make docs`\n{_difference(text, rendered.text)}"
            )
    for name, found in places.items():
        if len(found) != 1:
            stands = "in " + " and ".join(found) if found else "nowhere"
            wrong.append(f"table {name} stands {stands}; it belongs on exactly one page")
    return wrong


def _difference(old: str, new: str) -> str:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "written", "code", lineterm="", n=0)
    return "\n".join(f"    {line[:160]}" for _, line in zip(range(SHOWN_LINES), lines, strict=False))


def main(arguments: list[str] | None = None) -> int:
    """Check or rewrite the pages in the current folder."""
    parser = argparse.ArgumentParser(
        description="Compare the tables of specs/ and of the configuration with the code."
    )
    parser.add_argument("--write", action="store_true", help="rewrite the tables instead")
    options = parser.parse_args(arguments)
    pages = (*Path("specs").glob("*.md"), *(Path(page) for page in MORE if Path(page).is_file()))
    wrong = check(pages, tables(), write=options.write)
    print("\n".join(wrong) if wrong else "specs: every table says what the code says")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
