from __future__ import annotations

from dataclasses import replace

from chat import report
from tests.fakes.driver import PEERS, route, stats


def test_a_route_is_told_in_the_order_in_which_a_token_passes_it() -> None:
    one, two, three = (peer.short for peer in PEERS)
    assert report.route_line(route()) == (
        f"this machine embedding, 0:1 → {one} 1:8 → {two} 8:16 → {three} 16:24, head"
    )


def test_with_private_ends_the_route_ends_where_it_began() -> None:
    line = report.route_line(route(private_ends=True))
    assert line.endswith("16:24 → this machine head")


def test_figures_are_one_line() -> None:
    assert report.stats_line(stats()) == ("31 tokens in · 12 out · first after 0.21 s · 37.5 tokens/s")
    assert "31 tokens in (8 reused)" in report.stats_line(stats(reused_tokens=8))
    assert report.stats_line(replace(stats(answer_tokens=1), decode_tokens_per_s=0.0)).endswith(
        "1 out · first after 0.21 s"
    )
    assert report.stats_line(replace(stats(), seed=0)).endswith("37.5 tokens/s · seed 0")


def test_every_stage_and_the_links_have_a_row_under_the_headings() -> None:
    assert report.table(report.time_rows(stats())) == [
        "median ms        layers  compute  queue",
        "this machine     0:1        0.41",
        f"{PEERS[0].short}         1:8        4.25   0.08",
        f"{PEERS[1].short}         8:16       4.25   0.08",
        f"{PEERS[2].short}         16:24      4.25   0.08",
        "links, sampling            12.50",
    ]


def test_with_the_route_the_rows_name_its_ends() -> None:
    rows = report.time_rows(stats(), route())
    assert [row[1] for row in rows] == ["layers", "embedding, 0:1", "1:8", "8:16", "16:24, head", ""]


def test_a_host_that_sees_the_text_is_named_as_one() -> None:
    told = replace(route(), hops=(*route().hops[:2], replace(route().hops[2], sees_tokens=True)))
    assert report.route_line(told).endswith("16:24, head, sees the text in plain")
