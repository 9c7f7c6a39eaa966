"""No malformed line is a request by accident, and all kinds are among a thousand."""

from __future__ import annotations

import pytest

from node.control import protocol
from node.control.codes import ErrorCode
from node.control.errors import BadRequest
from node.control.limits import MAX_REQUEST_BYTES
from scripts.bench.malformed import lines


def test_none_of_a_thousand_lines_asks_for_anything() -> None:
    codes = set()
    found = list(lines(1000))
    for line in found:
        assert line.endswith(b"\n") and line.count(b"\n") == 1
        if len(line) > MAX_REQUEST_BYTES:
            continue
        with pytest.raises(BadRequest) as raised:
            protocol.read_request(line)
        codes.add(raised.value.code)
    assert len(found) == 1000 and any(len(line) > MAX_REQUEST_BYTES for line in found)
    assert {ErrorCode.MALFORMED, ErrorCode.OTHER_VERSION} < codes
    assert list(lines(20)) == found[:20]
