"""The chat server with Tornado."""

import asyncio
import os
from contextlib import suppress

from conversation import Conversation
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

clients = set()
conversation = Conversation()


class Chat(WebSocketHandler):
    """One client with a WebSocket."""

    def open(self):
        """Greet and join."""
        self.write_message("connected ....")
        clients.add(self)

    def on_close(self):
        """Leave."""
        clients.discard(self)

    def on_message(self, message):
        """Tell all."""
        for client in clients:
            with suppress(WebSocketClosedError):  # its on_close comes soon
                client.write_message(message)


class Poll(RequestHandler):
    """Long polling."""

    async def get(self):
        """Answer with the next message, when there is one."""
        lastupdate = float(self.get_query_argument("lastupdate", "0"))
        self.write(await conversation.next_after(lastupdate))

    async def post(self):
        """Say something."""
        self.write(await conversation.say(self.get_body_argument("new_message")))


async def main():
    """Serve until the process is ended."""
    app = Application([("/", Poll), ("/ws", Chat)])
    app.listen(int(os.environ["CHAT_PORT"]), "127.0.0.1")
    await asyncio.Event().wait()


asyncio.run(main())
