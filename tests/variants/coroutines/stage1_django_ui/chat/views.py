from django.shortcuts import get_object_or_404
from django.views.generic import TemplateView

from .models import ChatRoom


class RoomList(TemplateView):
    template_name = "chat/list.html"

    def get_context_data(self, **kwargs):
        return super().get_context_data(rooms=ChatRoom.objects.all(), **kwargs)


class RoomPage(TemplateView):
    template_name = "chat/room.html"

    def get_context_data(self, number, **kwargs):
        room = get_object_or_404(ChatRoom, pk=number)
        return super().get_context_data(room=room, **kwargs)
