from django.conf import settings
from django.http import JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from .models import ChatRoom
from .tokens import make_token

PAGE = 50  # messages


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


@require_GET
def earlier(request, chat_room_id):
    """Tell the messages before the number `before`: of these the newest, in order."""
    room = get_object_or_404(ChatRoom, pk=chat_room_id)
    try:
        before = int(request.GET.get("before", ""))
    except ValueError:
        error = {"status": 0, "error": "before is no number"}
        return JsonResponse(error, status=400)
    # One more than is told, to know whether there is more.
    rows = room.messages.filter(seq__lt=before).order_by("-seq")[: PAGE + 1]
    found = [{"seq": row.seq, "id": row.client_id, "text": row.text} for row in rows]
    more = len(found) > PAGE
    return JsonResponse({"status": 1, "more": more, "data": found[:PAGE][::-1]})
