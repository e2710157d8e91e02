from django.conf import settings
from django.views.generic import DetailView, ListView

from .models import ChatRoom

TALK = f"127.0.0.1:{settings.TALK_PORT}"


class Rooms(ListView):
    queryset = ChatRoom.objects.order_by("name")
    template_name = "rooms.html"


class SocketRoom(DetailView):
    model = ChatRoom
    template_name = "room.html"
    extra_context = {"chat": f"ws://{TALK}/ws", "script": "by_socket.js"}


class PollRoom(SocketRoom):
    extra_context = {"chat": f"http://{TALK}/", "script": "by_polling.js"}
