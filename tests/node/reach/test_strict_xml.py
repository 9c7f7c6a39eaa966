"""XML of a router: what is needed is read, what is dangerous is refused before it acts."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.reach import strict_xml
from node.reach.strict_xml import BadXml, escaped, read

BOMB = b"""<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><r>&c;</r>"""
OUTSIDE = b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>'


def test_names_lose_their_prefixes_and_texts_are_kept() -> None:
    root = read(b'<?xml version="1.0"?><a:r xmlns:a="u" x="1"> <b>one</b><c><b> two </b></c></a:r>')
    assert root.name == "r"
    assert root.value("b") == "one"
    assert [one.text for one in root.walk() if one.name == "b"] == ["one", " two "]
    assert root.child("d") is None
    assert root.value("d") is None


def test_the_five_entities_of_xml_itself_are_read() -> None:
    assert read(b"<r>&lt;&amp;&gt;&#65;</r>").text == "<&>A"


@pytest.mark.parametrize("data", [BOMB, OUTSIDE, b'<!DOCTYPE r SYSTEM "http://x/"><r/>', b"<!DOCTYPE r><r/>"])
def test_a_document_type_is_refused(data: bytes) -> None:
    with pytest.raises(BadXml, match="document type"):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        b"<r>",
        b"<r></q>",
        b"<r/><r/>",
        b"<r>&unknown;</r>",
        b'<?xml version="1.0" encoding="utf-7"?><r/>',
        b'<?xml version="1.0" encoding="nonsense"?><r/>',
        b"<r>\xff</r>",
        b"\0" * 100,
    ],
)
def test_what_is_not_xml_is_refused(data: bytes) -> None:
    with pytest.raises(BadXml):
        read(data)


def test_depth_count_and_size_are_bounded() -> None:
    depth = strict_xml.MAX_DEPTH
    assert read(b"<a>" * depth + b"</a>" * depth).name == "a"
    with pytest.raises(BadXml):
        read(b"<a>" * (depth + 1) + b"</a>" * (depth + 1))
    most = strict_xml.MAX_ELEMENTS
    assert len(read(b"<r>" + b"<a/>" * (most - 1) + b"</r>").children) == most - 1
    with pytest.raises(BadXml):
        read(b"<r>" + b"<a/>" * most + b"</r>")
    with pytest.raises(BadXml):
        read(b"<r>" + b"x" * strict_xml.MAX_BYTES + b"</r>")


@given(st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn"))))
def test_escaped_text_comes_back(text: str) -> None:
    if text.isprintable() and "\ufffe" not in text:
        assert read(f"<r>{escaped(text)}</r>".encode()).text == text


@given(st.binary(max_size=200) | st.text("<>/!?[]&;abDOCTYPE \"'=", max_size=60).map(str.encode))
def test_any_bytes_are_an_element_or_bad_xml(data: bytes) -> None:
    with suppress(BadXml):
        assert read(data).name is not None
