"""The specification check finds what it is there to find."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import check_specs
from scripts.check_specs import BadMarkers, check, render

MAKERS = {"colours": lambda: "| red |"}
RIGHT = "# Title\n\n<!-- table: colours -->\n\n| red |\n\n<!-- end -->\n\nAfter.\n"


def test_a_table_that_says_what_the_code_says_is_left_alone() -> None:
    assert render(RIGHT, MAKERS).text == RIGHT


def test_a_table_that_says_something_else_is_made_anew() -> None:
    assert render(RIGHT.replace("red", "blue"), MAKERS).text == RIGHT


def test_an_empty_table_is_filled() -> None:
    assert render(RIGHT.replace("\n| red |\n\n", ""), MAKERS).text == RIGHT


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("<!-- table: colours -->\n", "never ends"),
        ("<!-- end -->\n", "an end without a table"),
        ("<!-- table: sounds -->\n<!-- end -->\n", "no table is called sounds"),
        ("<!-- table: colours -->\n<!-- table: colours -->\n<!-- end -->\n", "begins before"),
    ],
)
def test_markers_that_do_not_pair_up_are_named(text: str, complaint: str) -> None:
    with pytest.raises(BadMarkers, match=complaint):
        render(text, MAKERS)


def test_a_difference_is_shown_and_nothing_is_written(tmp_path: Path) -> None:
    page = tmp_path / "wire.md"
    page.write_text(RIGHT.replace("red", "blue"), encoding="utf-8")
    (complaint,) = check(tmp_path.glob("*.md"), MAKERS, write=False)
    assert "wire.md differs" in complaint
    assert "-| blue |" in complaint
    assert "+| red |" in complaint
    assert "blue" in page.read_text(encoding="utf-8")


def test_writing_mends_the_difference(tmp_path: Path) -> None:
    page = tmp_path / "wire.md"
    page.write_text(RIGHT.replace("red", "blue"), encoding="utf-8")
    assert check(tmp_path.glob("*.md"), MAKERS, write=True) == []
    assert page.read_text(encoding="utf-8") == RIGHT


def test_a_table_that_no_specification_holds_is_missed(tmp_path: Path) -> None:
    (tmp_path / "wire.md").write_text("# Title\n", encoding="utf-8")
    (complaint,) = check(tmp_path.glob("*.md"), MAKERS, write=True)
    assert "colours stands nowhere" in complaint


def test_a_table_may_stand_on_a_page_beside_the_specifications(tmp_path: Path) -> None:
    page = tmp_path / "docs" / "colours.md"
    page.parent.mkdir()
    page.write_text(RIGHT.replace("red", "blue"), encoding="utf-8")
    assert check([page], MAKERS, write=True) == []
    assert page.read_text(encoding="utf-8") == RIGHT


def test_a_table_that_stands_twice_is_refused(tmp_path: Path) -> None:
    for name in ("wire.md", "forward.md"):
        (tmp_path / name).write_text(RIGHT, encoding="utf-8")
    (complaint,) = check(tmp_path.glob("*.md"), MAKERS, write=False)
    assert "forward.md and wire.md" in complaint


def test_bad_markers_name_their_file(tmp_path: Path) -> None:
    (tmp_path / "wire.md").write_text("<!-- end -->\n", encoding="utf-8")
    complaints = check(tmp_path.glob("*.md"), MAKERS, write=False)
    assert complaints[0].startswith("wire.md: line 1")


def test_the_exit_status_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check_specs, "tables", lambda: MAKERS)
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "wire.md").write_text(RIGHT, encoding="utf-8")
    assert check_specs.main([]) == 0
    (tmp_path / "specs" / "wire.md").write_text(RIGHT.replace("red", "blue"), encoding="utf-8")
    assert check_specs.main([]) == 1
    assert check_specs.main(["--write"]) == 0
    assert check_specs.main([]) == 0


def test_the_configuration_is_among_the_pages_that_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs/configuration.md"
    page.write_text("<!-- table: configuration/keys -->\n<!-- end -->\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    check_specs.main(["--write"])
    assert "| `kv-memory` | SIZE |" in page.read_text(encoding="utf-8")
