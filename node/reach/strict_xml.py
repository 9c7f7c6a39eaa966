"""The XML of a router, read without trust: no document type, so no entities of its own; few elements, little depth.

Only names, without prefixes, and texts are kept; attributes, comments and instructions are dropped. The expat parser
does the reading; what makes XML dangerous is refused before it acts on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

MAX_BYTES: Final = 64 * 1024
"""Security limit: the longest description of a router has a quarter of it."""
MAX_DEPTH: Final = 16
"""Security limit: nesting; a description of an IGD has 11."""
MAX_ELEMENTS: Final = 2_000
"""Security limit: elements of one document."""


class BadXml(ValueError):
    """Not XML, or XML with what a router has no use for."""


@dataclass(slots=True)
class Element:
    """One element: its name without prefix, the text directly in it, and the elements in it."""

    name: str
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def child(self, name: str) -> Element | None:
        """The first element of this name directly in this one."""
        return next((one for one in self.children if one.name == name), None)

    def value(self, name: str) -> str | None:
        """The text of the first such child, without white space around it."""
        child = self.child(name)
        return None if child is None else child.text.strip()

    def walk(self) -> Iterator[Element]:
        """This element and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


def read(data: bytes) -> Element:
    """Return the root element. Raises `BadXml`."""
    if len(data) > MAX_BYTES:
        raise BadXml(f"{len(data)} bytes")
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        if isinstance(error, BadXml):
            raise
        raise BadXml(f"not XML ({type(error).__name__})") from error
    if reader.root is None:
        raise BadXml("no element")
    return reader.root


def escaped(text: str) -> str:
    """Text as it may stand between two tags."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _refuse_doctype(*_: object) -> None:
    raise BadXml("it declares a document type")


class _Reader:
    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._count = 0

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) >= MAX_DEPTH:
            raise BadXml("too many elements, or nested too deep")
        element = Element(name.rpartition(":")[2])
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, _name: str) -> None:
        self._open.pop()

    def text(self, data: str) -> None:
        self._open[-1].text += data
