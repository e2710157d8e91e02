from django.urls import path

from . import views

urlpatterns = [
    path("", views.index, name="index"),
    path("new/", views.new_room, name="new_room"),
    path("invitation/<signed>/", views.invitation, name="invitation"),
    path("<int:chat_room_id>/", views.chat_room, name="chat_room"),
    path("<int:chat_room_id>/earlier/", views.earlier, name="earlier"),
    path("<int:chat_room_id>/token/", views.token, name="token"),
    path("<int:chat_room_id>/read/", views.read, name="read"),
    path("<int:chat_room_id>/people/", views.people, name="people"),
    path("<int:chat_room_id>/people/link/", views.change_link, name="change_link"),
    path(
        "<int:chat_room_id>/people/<int:user_id>/remove/",
        views.remove,
        name="remove",
    ),
    path(
        "long_poll/<int:chat_room_id>/",
        views.longpoll_chat_room,
        name="longpoll_chat_room",
    ),
]
