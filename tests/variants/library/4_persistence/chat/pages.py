"""Every page, and its address."""

import os

from django.contrib.admin import site
from django.http import Http404, JsonResponse
from django.shortcuts import redirect, render
from django.urls import path

from tickets import ticket_for

from .models import ChatRoom, Message

CHAT = "127.0.0.1:" + os.environ.get("CHAT_PORT", "1025")
SOCKET = {"chat": f"ws://{CHAT}/ws", "door": "socket.js"}
POLL = {"chat": f"http://{CHAT}/", "door": "poll.js"}


def home(request):
    return redirect(request.build_absolute_uri("/chats/"))


def rooms(request):
    return render(request, "rooms.html", {"rooms": ChatRoom.objects.order_by("name")})


def room(request, number, **talk):
    found = ChatRoom.objects.filter(id=number).first()
    if found is None:
        raise Http404(f"There is no room {number}.")
    context = {"room": found, "ticket": ticket_for(found.id), **talk}
    return render(request, "talking_room.html", context)


def earlier(request, number):
    if not ChatRoom.objects.filter(id=number).exists():
        return JsonResponse({"status": 0, "error": "No such room"}, status=404)
    try:
        before = int(request.GET["before"])
    except (KeyError, ValueError):
        return JsonResponse({"status": 0, "error": "No such number"}, status=400)
    found = Message.objects.filter(room_id=number, seq__lt=before).order_by("-seq")
    messages = [one.as_dict() for one in found[:51]]
    return JsonResponse(
        {"data": messages[49::-1], "more": len(messages) > 50, "status": 1}
    )


urlpatterns = [
    path("", home),
    path("chats/", rooms),
    path("chats/<int:number>/", room, SOCKET),
    path("chats/<int:number>/earlier/", earlier),
    path("chats/long_poll/<int:number>/", room, POLL),
    path("admin/", site.urls),
]
