"""The tables of `docs/families.md`, made from `node/slices/family_table.json`.

python -m scripts.family_summary --write
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from node.slices.families import read_table

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "families.md"
START: Final = "<!-- table: families -->\n"
END: Final = "<!-- end -->\n"

_KEPT: Final = {
    "full_attention": "all keys and values",
    "sliding_attention": "keys and values of a window",
    "chunked_attention": "keys and values of a chunk",
    "indexed_attention": "keys and values, and an index of them",
    "linear_attention": "a recurrent state",
    "conv": "the last inputs of a convolution",
    "hybrid": "a recurrent state with keys and values",
    "hybrid_sliding": "a recurrent state with a window of keys and values",
    "dummy": "nothing, in some",
    "compressed_sparse_attention": "keys and values of a window, and compressed ones with an index",
    "heavily_compressed_attention": "keys and values of a window, and compressed ones",
}
_SHARED: Final = {
    "joined": "Sessions of {count} share forwards with all their keys handed through the model's code",
    "padded": "Sessions of {count} share forwards as a batch, padded on the left",
}


def summary(table: Mapping[str, Mapping[str, Any]]) -> str:
    """The lines between the markers: families that are run, by what their layers keep, and families that are not."""
    exact: dict[tuple[str, ...], list[str]] = {}
    for name, row in table.items():
        if row["verdict"] == "exact":
            exact.setdefault(tuple(row["state"]), []).append(name)
    refused = {name: row["reason"] for name, row in table.items() if row["verdict"] == "refused"}
    count = sum(map(len, exact.values()))
    lines = [f"{count} families are exact, {len(refused)} are refused by name.", ""]
    lines += ["| layers keep | families |", "|---|---|"]
    for state, names in sorted(exact.items(), key=lambda item: (-len(item[1]), item[0])):
        kept = "; ".join(_KEPT[kind] for kind in state)
        lines.append(f"| {kept} | {', '.join(f'`{name}`' for name in sorted(names))} |")
    told = [f"`{name}`" for name, row in sorted(table.items()) if row.get("tokens")]
    lines += ["", f"Layers of {', '.join(told)} may need the tokens themselves."] if told else []
    for way, words in _SHARED.items():
        named = [f"`{name}`" for name, row in sorted(table.items()) if row.get("together") == way]
        lines += ["", f"{words.format(count=len(named))}: {', '.join(named)}."] if named else []
    alone = [
        f"`{name}`"
        for name, row in sorted(table.items())
        if row["verdict"] == "exact" and not row.get("together")
    ]
    lines += ["", f"Sessions of {len(alone)} are computed one by one: {', '.join(alone)}."] if alone else []
    lines += ["", "| refused | because |", "|---|---|"]
    lines += [f"| `{name}` | {reason} |" for name, reason in sorted(refused.items())]
    return "\n".join(lines) + "\n"


def render(text: str, table: Mapping[str, Mapping[str, Any]]) -> str:
    """The page with its tables made anew. Raises `ValueError` where the markers are not there."""
    before, found, rest = text.partition(START)
    _, closed, after = rest.partition(END)
    if not (found and closed):
        raise ValueError("the page has no markers for its tables")
    return before + START + summary(table) + END + after


def main() -> None:
    """Compare the page with the table, or write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write the page")
    options = parser.parse_args()
    text = PAGE.read_text()
    made = render(text, read_table())
    if options.write:
        PAGE.write_text(made)
    elif made != text:
        print(f"{PAGE.name} does not say what the table says: run with --write", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
