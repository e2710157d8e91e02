"""Many servers, one engine, and a small crowd that keeps the book whatever is done.

It is what `python -m benchmarks many` does, with fewer people and for one seed. How
fast something has to be is measured there, and not here.
"""

from __future__ import annotations

import pytest

from benchmarks import many
from tutorial.run.engine import find_binary, why_no_binary

SINCE_STAGE = 12
pytestmark = pytest.mark.skipif(not find_binary(), reason=why_no_binary())
# In which nothing may be lost, doubled, or told in two orders; and the times there that
# say how busy this machine is.
PARTS = {
    "ledger": ["late"],
    "kill_server": [],
    "kill_engine": ["healed"],
    "stop_engine": ["healed"],
    "cut_reader": [],
    "clocks": [],
    "rolling": ["waits", "exit"],
    "no_aof": ["told"],
}


@pytest.mark.thorough
@pytest.mark.parametrize("part", PARTS)
def test_the_book_is_kept(chat, part, tmp_path):
    folder = chat.target.folder
    run = many.Run(folder, small=True, seeds=1, workspace=tmp_path)
    found = many.PARTS[part](run)
    times = tuple(PARTS[part])
    wrong = [what for what in many.faults(part, found) if not what.startswith(times)]
    assert not wrong, f"{part} has what it may not have: {'; '.join(wrong)}"
