"""Records that came from the network, read once: the same bytes from a dozen nodes cost one signature check."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from wire.records import Record, read_record

REMEMBERED: Final = 4_096
"""Security limit: records whose signature is known to be right; about 3 MB."""


class RecordReader:
    """Reads the records of one network."""

    def __init__(self, network: str) -> None:
        self.network = network
        self._read: OrderedDict[bytes, Record] = OrderedDict()

    def read(self, data: bytes, now: float) -> Record:
        """Return the record that counts at `now`, Unix time in seconds. Raises `BadMessage` as `read_record` does."""
        record = self._read.get(data)
        if record is not None:
            record.lifetime.check(now)
            self._read.move_to_end(data)
            return record
        record = read_record(data, network=self.network, now=now)
        self._read[data] = record
        if len(self._read) > REMEMBERED:
            self._read.popitem(last=False)
        return record

    def known(self, data: bytes) -> Record | None:
        """The record of these bytes if they were read before; whether it still counts is not said."""
        return self._read.get(data)
