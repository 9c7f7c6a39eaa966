"""The table of `docs/metrics.md`, made from the declarations in `node/sight/`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import ProcessCollector

from node.sight.declared import Label, metrics_of
from node.sight.metrics import AREAS, BUILD
from scripts.spec_tables import markdown

_SHOWN_VALUES = 6
"""Values of a label that are written out; the codes are in the specification of errors."""


def tables() -> dict[str, Callable[[], str]]:
    """Every table: its name in the markers, and what renders it."""
    return {"metrics": metrics}


def metrics() -> str:
    """A row for each metric, in the order in which they are told."""
    return markdown(("metric", "type", "labels", "meaning"), list(_rows()))


def _rows() -> Iterator[tuple[str, ...]]:
    yield f"`{BUILD}_info`", "gauge", "`version`, `torch`, `python`", "1; its labels say what runs."
    for area in AREAS:
        for one in metrics_of(area).values():
            labels = "; ".join(_label(label) for label in one.labels) or "—"
            yield f"`{one.name}`", one.kind.value, labels, one.help
    for family in ProcessCollector(registry=None).collect():
        suffix = "_total" if family.type == "counter" else ""
        yield f"`{family.name}{suffix}`", family.type, "—", family.documentation


def _label(label: Label) -> str:
    if len(label.values) > _SHOWN_VALUES:
        return f"`{label.name}`: a code of [errors](../specs/errors.md)"
    return f"`{label.name}`: {', '.join(label.values)}"
