"""Which thread does Twisted call this on?  Run it, look, and it ends by itself.

python -m lab.which_thread
"""

import threading

from twisted.internet import defer, task, threads
from twisted.python.threadable import isInIOThread
from twisted.web.client import Agent
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.websocket import WebSocketClientEndpoint, WebSocketResource
from twisted.web.wsgi import WSGIResource


def note(handler):
    kind = "reactor" if isInIOThread() else "pool"
    print(f"{handler:32}{kind:9}{threading.current_thread().name}")


class Page(Resource):
    isLeaf = True

    def render_GET(self, request):
        note("HTTP: render_GET")
        return b"ok"


def wsgi_application(environ, start_response):
    note("WSGI application")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


class Peer:
    """Either end of the WebSocket; the client sends one message."""

    def __init__(self, greeting=None):
        self.greeting, self.received = greeting, defer.Deferred()

    def negotiationStarted(self, transport):
        self.transport = transport

    def negotiationFinished(self):
        if self.greeting:
            self.transport.sendTextMessage(self.greeting)

    def textMessageReceived(self, message):
        note("WebSocket: textMessageReceived")
        self.received.callback(message)

    def bytesMessageReceived(self, data):
        pass

    def pongReceived(self, payload):
        pass

    def connectionLost(self, reason):
        pass


class Server:
    def __init__(self):
        self.peer = Peer()

    def buildProtocol(self, request):
        return self.peer


class Client:
    def buildProtocol(self, url):
        return Peer("hello")


async def main(reactor):
    server, root = Server(), Resource()
    root.putChild(b"page", Page())
    root.putChild(b"ws", WebSocketResource(server))
    pool = reactor.getThreadPool()
    root.putChild(b"wsgi", WSGIResource(reactor, pool, wsgi_application))
    port = reactor.listenTCP(0, Site(root), interface="127.0.0.1")
    address = f"//127.0.0.1:{port.getHost().port}"

    print(f"{'handler':32}{'thread':9}name")
    agent = Agent(reactor)
    await agent.request(b"GET", f"http:{address}/page".encode())
    endpoint = WebSocketClientEndpoint.new(reactor, f"ws:{address}/ws")
    client = await endpoint.connect(Client())
    await server.peer.received
    client.transport.loseConnection()

    loop = task.LoopingCall(lambda: (note("LoopingCall"), loop.stop()))
    await loop.start(0)
    await task.deferLater(reactor, 0).addCallback(lambda _: note("Deferred: callback"))
    await threads.deferToThread(note, "deferToThread: the function").addCallback(
        lambda _: note("deferToThread: its callback")
    )
    done = defer.Deferred()

    def work():
        note("callInThread")
        reactor.callFromThread(body)

    def body():
        note("callFromThread, from there")
        done.callback(None)

    reactor.callInThread(work)
    await done
    await agent.request(b"GET", f"http:{address}/wsgi".encode())
    await port.stopListening()


def run():
    """Print one line per handler, then leave the process: SystemExit is raised."""
    task.react(
        lambda reactor: defer.ensureDeferred(main(reactor)).addTimeout(10, reactor)
    )


if __name__ == "__main__":
    run()
