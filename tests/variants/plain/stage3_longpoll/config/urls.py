from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from chat.views import PollRoom, Rooms, SocketRoom

urlpatterns = [
    path("", RedirectView.as_view(url="/chats/")),
    path("admin/", admin.site.urls),
    path("chats/", Rooms.as_view(), name="rooms"),
    path("chats/<int:pk>/", SocketRoom.as_view()),
    path("chats/long_poll/<int:pk>/", PollRoom.as_view()),
]
