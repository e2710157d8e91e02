from django.conf import settings
from django.shortcuts import get_object_or_404
from django.views.generic import TemplateView

import passes

from .models import ChatRoom


class RoomList(TemplateView):
    template_name = "chat/list.html"

    def get_context_data(self, **kwargs):
        return super().get_context_data(rooms=ChatRoom.objects.all(), **kwargs)


class RoomPage(TemplateView):
    """A room, by which line its page hears of it, and what lets it in."""

    template_name = "chat/room.html"
    script = "chat/socket.js"
    address = f"ws://{settings.CHAT}/ws"

    def get_context_data(self, number, **kwargs):
        room = get_object_or_404(ChatRoom, pk=number)
        return super().get_context_data(
            room=room,
            script=self.script,
            address=self.address,
            token=passes.write(room.pk),
            **kwargs,
        )


class PatientRoomPage(RoomPage):
    script = "chat/polling.js"
    address = f"http://{settings.CHAT}/"
