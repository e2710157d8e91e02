"""The chat server with Django Channels, as its tutorial builds it, served by Daphne.

With REDIS_URL it is one of several, which share a layer there, as its pages say. The
tutorial wraps each message in JSON; here a message is its text, as everywhere else.
"""

import os

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from daphne.server import Server
from django.conf import settings
from django.urls import path

LAYER = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
if redis := os.environ.get("REDIS_URL"):
    LAYER = {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [redis]},
    }
settings.configure(ALLOWED_HOSTS=["127.0.0.1"], CHANNEL_LAYERS={"default": LAYER})
django.setup()


class ChatConsumer(AsyncWebsocketConsumer):
    """One client."""

    async def connect(self):
        """Join the room's group and greet."""
        await self.channel_layer.group_add("room", self.channel_name)
        await self.accept()
        await self.send("connected ....")

    async def disconnect(self, code):
        """Leave the group."""
        await self.channel_layer.group_discard("room", self.channel_name)

    async def receive(self, text_data=None, bytes_data=None):
        """Tell the group."""
        event = {"type": "chat.message", "message": text_data}
        await self.channel_layer.group_send("room", event)

    async def chat_message(self, event):
        """Tell the client what came from the group."""
        await self.send(text_data=event["message"])


urls = URLRouter([path("ws", ChatConsumer.as_asgi())])
application = ProtocolTypeRouter({"websocket": AllowedHostsOriginValidator(urls)})

endpoint = f"tcp:port={os.environ['CHAT_PORT']}:interface=127.0.0.1"
Server(application, endpoints=[endpoint]).run()
