from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.store.errors import StoreError
from node.store.hub_errors import (
    MAX_RETRY_AFTER_S,
    HubBusy,
    HubChanged,
    HubError,
    HubGated,
    HubNotFound,
    HubWrongAnswer,
    Refusal,
    refused,
    retry_after_s,
)


def error(status: int, *, from_hub: bool = True, had_token: bool = False, **headers: str) -> HubError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    refusal = Refusal(status=status, headers=named, from_hub=from_hub)
    return refused(refusal, "config.json", "org/name", had_token=had_token)


@pytest.mark.parametrize(
    ("got", "kind", "words"),
    [
        (error(429), HubBusy, "no time for config.json now"),
        (error(500), HubBusy, "500"),
        (error(503), HubBusy, "503"),
        (error(408), HubBusy, "408"),
        (error(416), HubChanged, "shorter than"),
        (error(401, X_Error_Code="GatedRepo", X_Error_Message="Ask\x1b[2J"), HubGated, r"to everyone \(Ask"),
        (error(403, X_Error_Code="GatedRepo"), HubGated, "accept its terms .* HF_TOKEN"),
        (error(403), HubGated, "org/name"),
        (error(401, had_token=True), HubGated, "does not accept the token"),
        (error(401), HubNotFound, "no model org/name; .*private"),
        (error(401, X_Error_Code="RepoNotFound", had_token=True), HubNotFound, "no model org/name"),
        (error(404, X_Error_Code="RepoNotFound"), HubNotFound, "no model org/name"),
        (error(404, X_Error_Code="RevisionNotFound"), HubNotFound, "no such revision"),
        (error(404, x_error_code="EntryNotFound"), HubNotFound, "no such file: config.json"),
        (error(404), HubNotFound, "no model org/name"),
        (error(418), HubWrongAnswer, "418 .*HF_ENDPOINT"),
        (error(403, from_hub=False), HubBusy, "storage does not give out config.json"),
        (error(404, from_hub=False), HubBusy, "storage"),
    ],
)
def test_each_refusal_is_told_with_what_to_do(got: HubError, kind: type[HubError], words: str) -> None:
    assert type(got) is kind
    assert isinstance(got, StoreError)
    with pytest.raises(HubError, match=words):
        raise got
    assert str(got).isprintable()
    assert (got.retry_after_s is not None) == (kind is HubBusy)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 1.0),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 1.0),
        ({"retry-after": " 12 "}, 12.0),
        ({"retry-after": "86400"}, MAX_RETRY_AFTER_S),
        ({"retry-after": "9" * 4000}, 1.0),
        ({"retry-after": "-5"}, 1.0),
        ({"retry-after": "²"}, 1.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 1.0),
        ({"ratelimit": '"api";r=0;t=55'}, 55.0),
        ({"ratelimit": '"api";r=3;t=55'}, 1.0),
        ({"retry-after": "3", "ratelimit": '"api";r=0;t=55'}, 3.0),
    ],
)
def test_the_time_a_hub_asks_for_is_kept_within_bounds(headers: dict[str, str], seconds: float) -> None:
    assert retry_after_s(headers) == seconds


@given(
    st.integers(300, 999), st.dictionaries(st.text(max_size=20), st.text(max_size=300)), st.text(max_size=300)
)
def test_any_refusal_is_a_line_for_a_person(status: int, headers: dict[str, str], said: str) -> None:
    refusal = Refusal(status=status, headers={**headers, "X-Error-Message": said})
    assert str(refused(refusal, "a", "o/n", had_token=True)).isprintable()
