"""What is removed: enough, nothing that is needed, and what was used the longest ago first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.store.quota import choose, on_disk

DIGESTS = st.sampled_from([bytes([one]) for one in range(12)])
SIZES = st.dictionaries(DIGESTS, st.integers(0, 50))


def test_room_is_counted_in_blocks() -> None:
    assert [on_disk(size) for size in (0, 1, 4096, 4097)] == [0, 4096, 4096, 8192]


@given(
    present=SIZES,
    needed=SIZES,
    quota=st.integers(0, 300),
    order=st.lists(st.lists(DIGESTS, max_size=5), max_size=4),
)
def test_either_it_fits_afterwards_or_it_never_could(
    present: dict[bytes, int], needed: dict[bytes, int], quota: int, order: list[list[bytes]]
) -> None:
    needed = {digest: present.get(digest, size) for digest, size in needed.items()}
    removal = choose(present=present, needed=needed, quota=quota, used_last=order)
    assert not set(removal.digests) & set(needed)
    left = {digest: size for digest, size in {**present, **needed}.items() if digest not in removal.digests}
    assert removal.freed == sum(present[digest] for digest in removal.digests)
    if removal.short:
        assert not removal.digests
        assert sum(needed.values()) == quota + removal.short
    else:
        assert sum(left.values()) <= quota
        if removal.digests:
            # Without the last of them it would not have been enough.
            assert sum(left.values()) + present[removal.digests[-1]] > quota


def test_what_belongs_to_nothing_goes_first_then_what_was_used_longest_ago() -> None:
    present = {bytes([one]): 10 for one in range(5)}
    order = [[b"\x03"], [b"\x01"], [b"\x02"]]
    going = [
        choose(present=present, needed={}, quota=quota, used_last=order).digests for quota in (30, 20, 10)
    ]
    assert [set(one) for one in going] == [
        {b"\0", b"\4"},
        {b"\0", b"\4", b"\3"},
        {b"\0", b"\4", b"\3", b"\1"},
    ]


def test_without_a_quota_nothing_goes() -> None:
    assert not choose(present={b"a": 1 << 60}, needed={}, quota=None, used_last=()).digests
