from django.shortcuts import get_object_or_404, render

from .models import ChatRoom


def index(request):
    return render(request, "chats/index.html", {"chat_rooms": ChatRoom.objects.all()})


def chat_room(request, chat_room_id):
    room = get_object_or_404(ChatRoom, pk=chat_room_id)
    return render(request, "chats/chat_room.html", {"chat_room": room})
