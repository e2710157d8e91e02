from django.views.generic import DetailView, ListView

from .models import ChatRoom


class Rooms(ListView):
    queryset = ChatRoom.objects.order_by("name")
    template_name = "rooms.html"


class Room(DetailView):
    model = ChatRoom
    template_name = "room.html"
