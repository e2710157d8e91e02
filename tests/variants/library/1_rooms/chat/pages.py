"""Every page, and its address."""

import os

from django.contrib.admin import site
from django.http import Http404
from django.shortcuts import redirect, render
from django.urls import path

from tickets import ticket_for

from .models import ChatRoom

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


urlpatterns = [
    path("", home),
    path("chats/", rooms),
    path("chats/<int:number>/", room, SOCKET),
    path("chats/long_poll/<int:number>/", room, POLL),
    path("admin/", site.urls),
]
