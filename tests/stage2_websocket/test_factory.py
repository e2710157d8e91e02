"""ChatFactory: the one object that every protocol refers to."""

from __future__ import annotations


def test_every_protocol_refers_to_the_one_factory(chatserver):
    factory = chatserver.ChatFactory()
    ann, bob = factory.buildProtocol(None), factory.buildProtocol(None)
    assert ann is not bob
    assert ann.factory is bob.factory is factory


def test_the_list_of_clients_belongs_to_the_class(chatserver):
    """Left wrong on purpose: a second factory would share the first one's clients."""
    assert chatserver.ChatFactory().clients is chatserver.ChatFactory().clients
