from __future__ import annotations

import json

from chat.errors import NoRoute
from chat.event_json import error_json, event_json
from chat.events import Finished, FinishReason, Planned, Prefilling, TextDelta
from crypto.identity import PeerId
from tests.fakes.driver import MODEL, PEERS, route, stats
from wire.types import LayerRange


def test_a_route_can_be_read_back() -> None:
    value = json.loads(json.dumps(event_json(Planned(route=route()))))
    assert (value["event"], value["model"], value["front"]) == ("planned", str(MODEL), "0:1")
    assert [PeerId.parse(hop["peer"]) for hop in value["hops"]] == list(PEERS)
    assert [LayerRange.parse(hop["layers"]) for hop in value["hops"]] == [hop.layers for hop in route().hops]
    assert [hop["tail"] for hop in value["hops"]] == [False, False, True]


def test_progress_and_text_keep_their_fields() -> None:
    assert event_json(Prefilling(done_tokens=1, total_tokens=2, reused_tokens=3)) == {
        "event": "prefilling",
        "done_tokens": 1,
        "total_tokens": 2,
        "reused_tokens": 3,
    }
    assert event_json(TextDelta(text="é", token_ids=(4, 5))) == {
        "event": "text",
        "text": "é",
        "token_ids": [4, 5],
    }


def test_the_end_has_the_whole_text_and_the_time_of_every_stage() -> None:
    value = json.loads(json.dumps(event_json(Finished(reason=FinishReason.LENGTH, text="hi", stats=stats()))))
    assert (value["reason"], value["text"], value["stats"]["answer_tokens"]) == ("length", "hi", 12)
    assert [hop["peer"] for hop in value["stats"]["hops"]] == [None, *map(str, PEERS)]


def test_an_error_has_its_name_its_sentence_and_its_exit_code() -> None:
    assert error_json(NoRoute("nobody holds layers 1:2")) == {
        "event": "error",
        "error": "NoRoute",
        "message": "Nobody holds layers 1:2.",
        "exit_code": 5,
    }
