from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.sizes import size, written
from wire.errors import InvalidValue


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("4096", 4096),
        ("4K", 4096),
        ("512m", 512 << 20),
        ("1.5G", 3 << 29),
        ("1e3", 1000),
        ("2T", 2 << 40),
    ],
)
def test_sizes_are_powers_of_1024(text: str, expected: int) -> None:
    assert size(text) == expected


@pytest.mark.parametrize("text", ["", "G", "5MB", "infG", "nan", "1E", "9" * 5000 + "G", "²", "1 2", "--1"])
def test_what_is_no_number_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(InvalidValue, match="is not a size"):
        size(text)


@pytest.mark.parametrize("text", ["0", "-1G", "0.2", "1024T", "1e300"])
def test_sizes_that_nothing_has_are_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="is not a size between 1 byte and 1 PB"):
        size(text)


@given(size_bytes=st.integers(1, (1 << 50) - 1) | st.sampled_from([1 << 10, 512 << 20, 20 << 30]))
def test_a_size_is_written_as_it_is_read(size_bytes: int) -> None:
    assert size(written(size_bytes)) == size_bytes


def test_a_size_is_written_in_the_largest_unit_that_divides_it() -> None:
    assert [written(one) for one in (1000, 1 << 10, 1536 << 20, 20 << 30)] == ["1000", "1K", "1536M", "20G"]
