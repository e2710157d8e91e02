from django.conf import settings
from django.shortcuts import get_object_or_404, render

from .models import ChatRoom
from .tokens import make_token


def index(request):
    return render(request, "chats/index.html", {"chat_rooms": ChatRoom.objects.all()})


def chat_room(request, chat_room_id):
    room = get_object_or_404(ChatRoom, pk=chat_room_id)
    chat_url = f"ws://{settings.CHAT_SERVER}/ws"
    context = {
        "chat_room": room,
        "chat_url": chat_url,
        "chat_token": make_token(room.pk),
    }
    return render(request, "chats/chat_room.html", context)


def longpoll_chat_room(request, chat_room_id):
    room = get_object_or_404(ChatRoom, pk=chat_room_id)
    chat_url = f"http://{settings.CHAT_SERVER}/"
    context = {
        "chat_room": room,
        "chat_url": chat_url,
        "chat_token": make_token(room.pk),
    }
    return render(request, "chats/longpoll_chat_room.html", context)
