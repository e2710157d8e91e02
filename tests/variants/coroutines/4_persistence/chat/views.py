from django.conf import settings
from django.http import JsonResponse
from django.shortcuts import get_object_or_404
from django.views.generic import TemplateView, View

import passes

from .models import ChatRoom, Said


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


class Earlier(View):
    """What was said before a message, as JSON."""

    page = 50

    def get(self, request, number):
        room = get_object_or_404(ChatRoom, pk=number)
        try:
            before = int(request.GET.get("before", ""))
        except ValueError:
            return JsonResponse({"status": 0, "error": "before what?"}, status=400)
        said = Said.objects.filter(log=room.pk, seq__lt=before).order_by("-seq")
        found = list(said[: self.page + 1])
        data = [one.message() for one in reversed(found[: self.page])]
        more = len(found) > self.page
        return JsonResponse({"status": 1, "more": more, "data": data})
