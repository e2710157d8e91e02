"""Every test in this folder judges any folder that claims to be a stage."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_traceback(chat):
    """Whatever a client does, no server may answer it with a traceback in its log."""
    before = [server.written() for server in chat.servers]
    yield
    for server, start in zip(chat.servers, before, strict=True):
        new = server.output(start)
        assert "Traceback" not in new, (
            f"{server.name} logged a traceback during this test:\n{new}"
        )
