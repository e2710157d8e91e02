"""ChatFactory: the one object that every protocol refers to."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.support.scenarios import share_clients

SINCE_STAGE = 2


def test_every_protocol_refers_to_the_one_factory(factory):
    request = SimpleNamespace(transport=None, address=None)
    ann, bob = factory.buildProtocol(request), factory.buildProtocol(request)
    assert ann is not bob
    assert ann.factory is bob.factory is factory


@pytest.mark.stages(2, 4)
def test_the_list_of_clients_belongs_to_the_class(classes):
    """Left wrong on purpose: a second factory shares the first one's clients."""
    assert share_clients(classes)
