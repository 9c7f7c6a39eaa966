"""A record's signature is checked once, its times every time."""

from __future__ import annotations

import pytest

from node.dht import reading
from node.dht.reading import RecordReader
from tests.fakes.records import NETWORK, NOW, signed
from wire.errors import BadMessage
from wire.records import Untimely


def test_a_record_that_was_read_is_known_and_still_expires() -> None:
    reader = RecordReader(NETWORK)
    data = signed(1)
    assert reader.known(data) is None
    record = reader.read(data, NOW)
    assert reader.known(data) is record
    assert reader.read(data, NOW) is record
    with pytest.raises(Untimely):
        reader.read(data, NOW + 10_000)


def test_what_was_refused_is_not_known() -> None:
    reader = RecordReader(NETWORK)
    forged = signed(1)[:-1] + b"\x00"
    for _ in range(2):
        with pytest.raises(BadMessage):
            reader.read(forged, NOW)
    assert reader.known(forged) is None


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "REMEMBERED", 2)
    reader = RecordReader(NETWORK)
    datas = [signed(number) for number in range(3)]
    for data in datas:
        reader.read(data, NOW)
    assert [reader.known(data) is None for data in datas] == [True, False, False]
