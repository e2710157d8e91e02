"""The real site on a real port, with both ends in this reactor."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import pytest_twisted
from twisted.internet import defer, endpoints, reactor
from twisted.protocols.policies import WrappingFactory
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.websocket import ConnectionRejected, WebSocketClientEndpoint

from tests.support.reactor import log_events, until
from tests.support.requests import ORIGIN, token
from tests.support.transport import has_history

SINCE_STAGE = 2


class Client:
    """A WebSocket client whose messages wait in `inbox`."""

    def __init__(self):
        self.inbox = defer.DeferredQueue()
        self.lost = defer.Deferred()

    def buildProtocol(self, url):
        return self

    def negotiationStarted(self, transport):
        self.transport = transport

    def negotiationFinished(self):
        pass

    def textMessageReceived(self, message):
        self.inbox.put(message)

    def connectionLost(self, reason):
        self.lost.callback(None)

    def next(self) -> defer.Deferred:
        return self.inbox.get().addTimeout(2, reactor)

    async def leave(self) -> None:
        self.transport.loseConnection()
        await self.lost.addTimeout(2, reactor)


@pytest_twisted.async_yield_fixture
async def server(classes):
    """The chat on a free port, with its `url` and the allowed `origins`."""
    origins = [ORIGIN]
    chat = classes.build(origins)
    root = Resource()
    root.putChild(b"ws", chat.web_socket)
    endpoint = endpoints.serverFromString(reactor, "tcp:0:interface=127.0.0.1")
    site = WrappingFactory(Site(root))  # it knows its open connections
    port = await endpoint.listen(site)
    url = f"ws://127.0.0.1:{port.getHost().port}/ws"
    history = has_history(classes.WebsocketChat)
    yield SimpleNamespace(chat=chat, url=url, origins=origins, has_history=history)
    await port.stopListening()
    for connection in list(site.protocols):
        connection.abortConnection()
    await until(lambda: not site.protocols, "all connections are closed")


async def join(server) -> Client:
    client = Client()
    await WebSocketClientEndpoint.new(reactor, server.url).connect(client)
    if server.has_history:
        client.transport.sendTextMessage(json.dumps({"token": token()}))
        assert json.loads(await client.next())["data"] == []
        return client
    if hasattr(server.chat.factory, "rooms"):
        client.transport.sendTextMessage(token())
    assert await client.next() == "connected ...."
    return client


@pytest.mark.stages(2, 10)  # then a guard belongs to it
@pytest_twisted.ensureDeferred
async def test_two_clients_talk(server):
    # Twisted's own client sends no Origin header.
    server.origins.append(None)
    ann, bob = await join(server), await join(server)
    hello, still_here = (
        json.dumps({"id": text, "text": text}) if server.has_history else text
        for text in ("hello", "still here")
    )
    ann.transport.sendTextMessage(hello)
    assert "hello" in (heard := await ann.next())
    assert await bob.next() == heard
    await ann.leave()
    await until(lambda: len(server.chat.clients) == 1, "Ann is off the list")
    bob.transport.sendTextMessage(still_here)
    assert "still here" in await bob.next()
    await bob.leave()


@pytest.mark.stages(2, 10)  # then a guard belongs to it
@pytest_twisted.ensureDeferred
async def test_without_an_origin_nobody_gets_in(server):
    with log_events() as events, pytest.raises(ConnectionRejected) as refused:
        await join(server)
    assert refused.value.response.code == 403
    assert server.chat.clients == []
    said = [event["why"] for event in events if "why" in event]
    assert said == ["origin None may not speak here"]


def test_without_settings_it_serves_the_pages_of_this_machine(classes):
    assert classes.ORIGINS == [b"http://127.0.0.1:8000", b"http://localhost:8000"]
    assert classes.PORT == "1025"
