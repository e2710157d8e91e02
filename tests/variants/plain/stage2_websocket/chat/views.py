from django.conf import settings
from django.views.generic import DetailView, ListView

from .models import ChatRoom


class Rooms(ListView):
    queryset = ChatRoom.objects.order_by("name")
    template_name = "rooms.html"


class Room(DetailView):
    model = ChatRoom
    template_name = "room.html"
    extra_context = {"chat": f"ws://127.0.0.1:{settings.TALK_PORT}/ws"}
