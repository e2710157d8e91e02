"""Every page, and its address."""

from django.contrib.admin import site
from django.http import Http404
from django.shortcuts import redirect, render
from django.urls import path

from .models import ChatRoom


def home(request):
    return redirect(request.build_absolute_uri("/chats/"))


def rooms(request):
    return render(request, "rooms.html", {"rooms": ChatRoom.objects.order_by("name")})


def room(request, number):
    found = ChatRoom.objects.filter(id=number).first()
    if found is None:
        raise Http404(f"There is no room {number}.")
    return render(request, "room.html", {"room": found})


urlpatterns = [
    path("", home),
    path("chats/", rooms),
    path("chats/<int:number>/", room),
    path("admin/", site.urls),
]
