"""The simulation of a cluster: it chooses as one does, and its draws are fixed."""

from __future__ import annotations

import pytest

from benchmarks.cluster import spread


def test_a_slot_is_what_the_specification_says():
    assert spread.slot_of("123456789") == 0x31C3 % spread.SLOTS


def test_each_node_has_its_part_of_the_slots():
    assert {spread.node_of(f"{room}", 3) for room in range(100)} == {0, 1, 2}


@pytest.mark.thorough
def test_the_largest_room_is_on_one_node():
    shares = spread.sizes()
    assert sum(shares) == pytest.approx(1)
    assert spread.busiest(1) == pytest.approx(1)
    found = [spread.busiest(nodes, seeds=3) for nodes in spread.NODES]
    assert found == sorted(found, reverse=True)
    assert found[-1] > shares[0], "however many nodes there are"
    assert found[1] > 1 / 2, "two nodes never share it evenly"


@pytest.mark.thorough
def test_the_figures_are_the_same_each_time():
    assert spread.figures() == spread.figures()
