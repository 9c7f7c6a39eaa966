"""The scorer counts what is right, and leaving layers out is seen where it matters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scripts.pocket import card, evaluate, talk
from scripts.pocket.corpus import Corpus
from scripts.pocket.evaluate import Case, Pocket, Probe, score
from scripts.pocket.export import read_record

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def pocket() -> Pocket:
    return Pocket(ROOT / "node/pocket", torch.float32)


def asked(question: str, answer: str) -> Case:
    return Case(chat=[{"role": "user", "content": question}], answer=answer)


def test_the_score_counts_right_answers_and_keeps_the_wrong_ones() -> None:
    group = [asked("1 + 1", "1 plus 1 is 2."), asked("Hi", "Hello!"), asked("Bye", "Goodbye!")]
    found = score("some", group, lambda cases: [case.answer != "Hello!" for case in cases])
    assert (found.right, found.total, found.wrong) == (2, 3, (group[1],))
    assert found.percent == pytest.approx(200 / 3)


def test_one_pass_judges_as_generation_does(pocket: Pocket) -> None:
    questions = (
        "What is 17 squared?",
        "12+30",
        "hello!",
        "capital of france",
        "Why did the chicken cross the road?",
    )
    said = [(question, pocket.say([{"role": "user", "content": question}])) for question in questions]
    assert all(pocket.would_say([asked(question, answer) for question, answer in said]))
    assert not any(pocket.would_say([asked(question, answer + " no") for question, answer in said]))
    assert not any(pocket.would_say([asked(question, answer[:-1]) for question, answer in said]))


def test_leaving_layers_out_changes_logits_and_puts_the_model_back(
    pocket: Pocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "SAMPLED_SUBSETS", 2)
    monkeypatch.setattr(evaluate, "WINDOW", 20)
    probe = Probe(Corpus(1), pocket.tokenizer)
    before = probe.logits(pocket.model)
    found = evaluate.omissions(pocket.model, probe)
    assert len(found) == 24 - 20 + 1 + 2
    assert all(omission.change > 0.05 for omission in found)
    assert torch.equal(probe.logits(pocket.model), before)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("what is 17 squared?", "17 squared is 289."),
        ("What is 17 squared", "17 squared is 289."),
        ("17^2 = ?", "17 squared is 289."),
        ("17 * 17", "17 squared is 289."),
        ("12+30", "12 plus 30 is 42."),
        ("What is the capital of France?", "The capital of France is Paris."),
        ("what is lamella?", next(iter(talk.LAMELLA))),
        ("Who painted the Mona Lisa?", talk.HONEST),
    ],
)
def test_the_shipped_model_answers(pocket: Pocket, question: str, answer: str) -> None:
    assert pocket.say([{"role": "user", "content": question}]) == answer


def test_the_shipped_model_answers_the_second_turn(pocket: Pocket) -> None:
    chat = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello! Ask me something small."},
        {"role": "user", "content": "What is 23 + 45?"},
    ]
    assert pocket.say(chat) == "23 plus 45 is 68."


def test_the_shipped_card_tells_how_the_shipped_weights_came_about() -> None:
    training = card.Training.from_json(read_record(ROOT / "node/pocket"))
    text = (ROOT / "node/pocket/README.md").read_text()
    cycles = " ".join(map(str, training.recipe.cycles))
    assert f"--seed {training.recipe.seed} --steps {cycles} --workers {training.workers}" in text
