from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path
from django.views.generic import RedirectView

front_page = login_not_required(RedirectView.as_view(pattern_name="index"))
# One form for all logins, with one limit.
log_in = login_not_required(
    RedirectView.as_view(pattern_name="login", query_string=True)
)

urlpatterns = [
    path("", front_page),
    path("accounts/", include("chat.account_urls")),
    path("chats/", include("chat.urls")),
    path("admin/login/", log_in),
    path("admin/", admin.site.urls),
]
