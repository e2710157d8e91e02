"""The chat server with aiohttp."""

import os

from aiohttp import WSMsgType, web
from conversation import Conversation

clients = set()
conversation = Conversation()
routes = web.RouteTableDef()


@routes.get("/ws")
async def chat(request):
    """One client, from joining to leaving."""
    client = web.WebSocketResponse()
    await client.prepare(request)
    await client.send_str("connected ....")
    clients.add(client)
    try:
        async for message in client:
            if message.type is WSMsgType.TEXT:
                for other in set(clients):
                    await other.send_str(message.data)
    finally:
        clients.remove(client)
    return client


@routes.get("/")
async def poll(request):
    """Answer with the next message, when there is one."""
    lastupdate = float(request.query.get("lastupdate", "0"))
    return web.json_response(await conversation.next_after(lastupdate))


@routes.post("/")
async def post(request):
    """Say something."""
    form = await request.post()
    return web.json_response(await conversation.say(form["new_message"]))


app = web.Application()
app.add_routes(routes)
# A poller who leaves ends its handler.
web.run_app(
    app,
    host="127.0.0.1",
    port=int(os.environ["CHAT_PORT"]),
    handler_cancellation=True,
)
