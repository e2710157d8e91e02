from django.urls import path

from .views import Earlier, PatientRoomPage, RoomList, RoomPage

urlpatterns = [
    path("", RoomList.as_view(), name="list"),
    path("<int:number>/", RoomPage.as_view(), name="room"),
    path("<int:number>/earlier/", Earlier.as_view(), name="earlier"),
    path("long_poll/<int:number>/", PatientRoomPage.as_view(), name="patient_room"),
]
