"""The chat server with websockets."""

import asyncio
import os

from websockets.asyncio.server import broadcast, serve

clients = set()


async def chat(client):
    """One client, from joining to leaving."""
    await client.send("connected ....")
    clients.add(client)
    try:
        async for message in client:
            broadcast(clients, message)
    finally:
        clients.remove(client)


async def main():
    """Serve until the process is ended."""
    port = int(os.environ["CHAT_PORT"])
    async with serve(chat, "127.0.0.1", port) as server:
        await server.serve_forever()


asyncio.run(main())
