from django.urls import path

from . import views

urlpatterns = [
    path("", views.index, name="index"),
    path("<int:chat_room_id>/", views.chat_room, name="chat_room"),
    path("<int:chat_room_id>/earlier/", views.earlier, name="earlier"),
    path(
        "long_poll/<int:chat_room_id>/",
        views.longpoll_chat_room,
        name="longpoll_chat_room",
    ),
]
