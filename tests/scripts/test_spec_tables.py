"""Tables of the specifications are made from the code, and are whole."""

from __future__ import annotations

from typing import Final

import wire.messages
from scripts import spec_tables
from wire import limits, session_table
from wire.codes import Code
from wire.messages.base import REGISTRY

SOURCE: Final = '''
MOST: Final = 3
"""Why three
and not four."""
BARE: Final = 4

class Offer:
    """One slice."""

    size: int
    """In bytes."""
    name: str
'''


def test_a_docstring_under_a_constant_is_its_reason_on_one_line() -> None:
    assert spec_tables.constant_docs(SOURCE) == {"MOST": "Why three and not four."}


def test_a_docstring_under_a_field_is_its_meaning() -> None:
    assert spec_tables.field_docs(SOURCE) == {("Offer", "size"): "In bytes."}


def test_every_code_has_a_row() -> None:
    table = spec_tables.errors()
    assert [code for code in Code if f"| {code.value} | `{code.text}` |" not in table] == []


def test_every_message_and_each_of_its_fields_has_a_row_in_exactly_one_table() -> None:
    assert wire.messages.__doc__
    tables = {name: make() for name, make in spec_tables.tables().items() if name.startswith("messages/")}
    for declaration in REGISTRY.values():
        if not declaration.cls.__module__.startswith("wire.messages."):
            continue
        head = f"| {declaration.id} | `{declaration.name}` | {declaration.sender} |"
        (table,) = [table for table in tables.values() if head in table]
        after = table[table.index(head) :]
        assert [name for name in declaration.fields if f"| `{name}` |" not in after] == []


def test_every_limit_has_a_row_in_exactly_one_table() -> None:
    tables = [make() for name, make in spec_tables.tables().items() if name.startswith("limits/")]
    names = [name for name in vars(limits) if name.isupper()]
    assert names
    assert [name for name in names if sum(f"| `{name}` |" in table for table in tables) != 1] == []


def test_a_limit_is_printed_in_the_unit_its_name_says() -> None:
    table = "\n".join(make() for name, make in spec_tables.tables().items() if name.startswith("limits/"))
    assert f"| `MAX_MESSAGE_BYTES` | {limits.MAX_MESSAGE_BYTES // (1 << 20)} MiB |" in table
    assert f"| `DIAL_TIMEOUT_S` | {limits.DIAL_TIMEOUT_S:g} s |" in table
    assert f"| `MAX_NOISE_MESSAGE_BYTES` | {limits.MAX_NOISE_MESSAGE_BYTES:,} bytes |" in table


def test_a_legal_order_shows_the_state_it_leads_to_and_an_illegal_one_a_dash() -> None:
    rows = spec_tables.sessions().partition("At the client")[0].splitlines()
    for one in session_table.HostInput:
        leads_to = [session_table.HOST.get((state, one)) for state in session_table.HostState]
        cells = ["—" if state is None else state.value for state in leads_to]
        assert f"| {one.value} | {' | '.join(cells)} |" in rows


def test_every_row_of_a_table_has_as_many_cells_as_its_header() -> None:
    for name, make in spec_tables.tables().items():
        width = 0
        for line in make().splitlines():
            cells = line.replace("\\|", "").count("|")
            width = 0 if not cells else width or cells
            assert cells == width, f"{name}: {line}"
