"""White-box tests of stage 2: its own classes, in this process."""

from __future__ import annotations

import pytest

from tests.support.reactor import clean_reactor
from tests.support.whitebox import stage_modules
from tutorial.stages import find_stage


@pytest.fixture
def chatserver():
    """The stage's chatserver.py, loaded afresh."""
    with stage_modules(find_stage("stage2_websocket").folder, "chatserver") as [module]:
        yield module


@pytest.fixture(autouse=True)
def _clean_reactor():
    with clean_reactor():
        yield
