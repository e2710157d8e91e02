"""The ledger finds what is wrong, and nothing else."""

from __future__ import annotations

import pytest

from tests.support.ledger import Ledger


@pytest.fixture
def ledger() -> Ledger:
    """Ann and Bob are in one room, where both said two things; Eve is in another."""
    ledger = Ledger()
    for name, room in [("Ann", "A"), ("Bob", "A"), ("Eve", "B")]:
        ledger.joins(name, room)
    for text in ["a1", "b1", "a2", "b2"]:
        ledger.says("Ann" if text[0] == "a" else "Bob", text, "A")
        ledger.acknowledged(text)
    return ledger


def test_all_hear_all_in_one_order(ledger):
    for name in ("Ann", "Bob"):
        ledger.hears(name, "b1", "a1", "a2", "b2")
    ledger.check()


def test_who_leaves_or_comes_later_is_owed_less(ledger):
    ledger.joins("Cara", "A")
    ledger.says("Ann", "a3", "A")
    ledger.acknowledged("a3")
    ledger.hears("Ann", "a1", "a2", "b1", "b2", "a3")
    ledger.hears("Bob", "a1")
    ledger.leaves("Bob")
    ledger.hears("Cara", "b2", "a3")  # b2 was under way when she came
    ledger.check()


def test_what_was_not_acknowledged_may_be_missed(ledger):
    ledger.says("Ann", "a3", "A")
    ledger.hears("Ann", "a1", "a2", "b1", "b2", "a3")
    ledger.hears("Bob", "a1", "a2", "b1", "b2")
    ledger.check()


def test_who_asks_from_the_beginning_is_owed_what_was_said_before(ledger):
    for name in ("Ann", "Bob"):
        ledger.hears(name, "a1", "a2", "b1", "b2")
    ledger.joins("Paul", "A", from_the_beginning=True)
    ledger.hears("Paul", "a1", "a2", "b1")
    with pytest.raises(AssertionError, match=r"Paul stayed, and misses \['b2'\]"):
        ledger.check()


@pytest.mark.parametrize(
    ("bob", "says"),
    [
        (["a1", "a2", "b1"], "Bob stayed, and misses ['b2']"),
        (["a1", "a2", "b1", "b2", "a1"], "Bob hears ['a1'] more than once"),
        (["a1", "a2", "b1", "b2", "x"], "Bob hears ['x'], never said in room 'A'"),
        (["a1", "b1", "a2", "b2"], "there is no one order: a2 before b1 before a2"),
        (["a2", "a1", "b1", "b2"], "there is no one order"),
    ],
    ids=["missed", "twice", "strange", "two-orders", "own-order"],
)
def test_what_is_wrong_is_said(ledger, bob, says):
    ledger.hears("Ann", "a1", "a2", "b1", "b2")
    ledger.hears("Bob", *bob)
    assert any(says in problem for problem in ledger.problems()), ledger.problems()


def test_nothing_crosses_a_room(ledger):
    for name in ("Ann", "Bob", "Eve"):
        ledger.hears(name, "a1", "a2", "b1", "b2")
    [problem] = ledger.problems()
    assert problem.startswith("Eve hears ['a1', 'a2', 'b1', 'b2'], never said in room")


def test_numbers_leave_no_gap():
    ledger = Ledger()
    ledger.joins("Ann")
    for number in (1, 2, 4):
        ledger.says("Bob", f"{number}")
        ledger.hears("Ann", f"{number}", number=number)
    assert ledger.problems() == ["Ann hears numbers with a gap: [1, 2, 4]"]
