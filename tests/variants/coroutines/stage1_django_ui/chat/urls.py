from django.urls import path

from .views import RoomList, RoomPage

urlpatterns = [
    path("", RoomList.as_view(), name="list"),
    path("<int:number>/", RoomPage.as_view(), name="room"),
]
