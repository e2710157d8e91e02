from django.contrib import admin
from django.shortcuts import redirect
from django.urls import include, path

urlpatterns = [
    path("", lambda request: redirect("list")),
    path("chats/", include("chat.urls")),
    path("admin/", admin.site.urls),
]
