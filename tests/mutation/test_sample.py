"""A few mistakes by lot, another lot in each run: the tests notice nearly all."""

from __future__ import annotations

import os
import random

import pytest

from tests.mutation.__main__ import draw, judge_all
from tests.mutation.snapshots import load_equivalents, mutants_in, why_equivalent
from tutorial.stages import load_snapshots

COUNT, MOST = 8, 1  # so many mutants, of which so many may survive


@pytest.mark.thorough
def test_of_a_few_mistakes_by_lot_nearly_all_are_noticed(chromium_path):
    pytest.importorskip("tree_sitter", reason="the group mutation is not installed")
    seed = int(os.environ.get("MUTATION_SEED") or random.randrange(10_000))
    print(f"MUTATION_SEED={seed}")
    equivalents = load_equivalents()
    every = [
        (stage, mutant)
        for stage in load_snapshots()
        for mutant in mutants_in(stage, new=True)
        if why_equivalent(stage, mutant, equivalents) is None
    ]
    judged = judge_all(
        draw(every, COUNT, seed), os.cpu_count() or 1, (True, False, True)
    )
    survivors = [
        f"{one.stage.id}/{one.mutant}" for one in judged if one.status == "survived"
    ]
    assert len(survivors) <= MOST, (
        f"With MUTATION_SEED={seed}, no test noticed these mistakes. Write a test, or "
        "an entry in equivalent.toml:\n" + "\n".join(survivors)
    )
