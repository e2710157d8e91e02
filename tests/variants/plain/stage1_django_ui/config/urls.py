from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from chat.views import Room, Rooms

urlpatterns = [
    path("", RedirectView.as_view(url="/chats/")),
    path("admin/", admin.site.urls),
    path("chats/", Rooms.as_view(), name="rooms"),
    path("chats/<int:pk>/", Room.as_view(), name="room"),
]
