from __future__ import annotations

import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from hypothesis import example, given
from hypothesis import strategies as st

from node.store.errors import UnknownModel
from node.store.hub_name import BadHubName, HubName, is_commit

ODD = st.text(st.sampled_from("abZ09_-./:@ é\\\n"), max_size=12)


@pytest.mark.parametrize(
    ("text", "repo", "revision"),
    [
        ("hf:org/name", "org/name", "main"),
        ("hf:org/name@v1.0", "org/name", "v1.0"),
        ("hf:Some_Org/Model-7B.v2@refs/pr/4", "Some_Org/Model-7B.v2", "refs/pr/4"),
        ("hf:o/n@" + "ab" * 20, "o/n", "ab" * 20),
    ],
)
def test_a_name_is_read_and_told_as_it_was_given(text: str, repo: str, revision: str) -> None:
    name = HubName.parse(text)
    assert (name.repo, name.revision) == (repo, revision)
    assert str(name) == text


def test_main_is_the_revision_that_need_not_be_named() -> None:
    assert HubName.parse("hf:o/n@main") == HubName.parse("hf:o/n")
    assert str(HubName.parse("hf:o/n@main")) == "hf:o/n"


@pytest.mark.parametrize(
    "text",
    [
        "", "hf:", "org/name", "HF:org/name", "hf:name", "hf:a/b/c", "hf:/name", "hf:org/", "hf:../name", "hf:org/..",
        "hf:org/na me", "hf:org/name.git", "hf:a--b/c", "hf:org/a..b", "hf:-org/name", "hf:org/.name", "hf:org/café",
        "hf:" + "o" * 97 + "/n", "hf:org/name\n", "hf:org/name?x=1", "hf:org/%2e%2e", "hf://org/name",
        "hf:org/name@", "hf:org/name@..", "hf:org/name@a..b", "hf:org/name@/a", "hf:org/name@a/", "hf:org/name@a//b",
        "hf:org/name@-x", "hf:org/name@a b", "hf:org/name@a@b", "hf:org/name@a:b", "hf:org/name@x.lock",
        "hf:org/name@\x1b[2J", "hf:org/name@" + "r" * 201, "hf:org/name@a?b", "hf:org/name@a%2fb", "hf:org/name@a\\b",
    ],
)  # fmt: skip
def test_what_could_be_something_else_is_refused_with_how_it_should_be(text: str) -> None:
    with pytest.raises(BadHubName) as caught:
        HubName.parse(text)
    assert isinstance(caught.value, UnknownModel)
    assert caught.value.next_step
    assert str(caught.value).isprintable()


@given(ODD, ODD)
@example("a" * 96, "b" * 96)
@example("a" * 97, "b")
def test_names_of_repositories_are_those_of_the_library(org: str, name: str) -> None:
    repo = f"{org}/{name}"
    try:
        validate_repo_id(repo)
        known = True
    except HFValidationError:
        known = False
    try:
        ours = HubName(repo=repo).repo == repo
    except BadHubName:
        ours = False
    # The library counts a slash too many as an error of its own, and so do we.
    assert ours == known


@given(ODD)
def test_a_revision_that_is_taken_says_the_same_when_read_again(revision: str) -> None:
    try:
        name = HubName(repo="o/n", revision=revision)
    except BadHubName:
        return
    assert HubName.parse(str(name)) == name
    assert ".." not in revision.split("/")


def test_only_a_whole_commit_is_a_commit() -> None:
    assert is_commit("0123456789abcdef" * 2 + "01234567")
    for other in ("main", "0123456", "g" * 40, "A" * 40, "0" * 41, "0" * 40 + "\n", None, 7):
        assert not is_commit(other)
