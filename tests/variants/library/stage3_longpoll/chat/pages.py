"""Every page, and its address."""

from django.conf import settings
from django.contrib.admin import site
from django.http import Http404
from django.shortcuts import redirect, render
from django.urls import path

from .models import ChatRoom


def home(request):
    return redirect(request.build_absolute_uri("/chats/"))


def rooms(request):
    return render(request, "rooms.html", {"rooms": ChatRoom.objects.order_by("name")})


def room(request, number, url, door):
    found = ChatRoom.objects.filter(id=number).first()
    if found is None:
        raise Http404(f"There is no room {number}.")
    context = {"room": found, "chat": url.format(settings.CHAT), "door": door}
    return render(request, "room.html", context)


SOCKET = {"url": "ws://{}/ws", "door": "socket.js"}
POLL = {"url": "http://{}/", "door": "poll.js"}

urlpatterns = [
    path("", home),
    path("chats/", rooms),
    path("chats/<int:number>/", room, SOCKET),
    path("chats/long_poll/<int:number>/", room, POLL),
    path("admin/", site.urls),
]
