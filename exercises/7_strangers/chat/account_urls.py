from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LogoutView, PasswordChangeDoneView
from django.urls import path
from django.views.decorators.cache import never_cache

from . import views

# The admin's pages to change a password are registration/password_change_*.html. Ours
# have other names, or the admin would show them.
changed = PasswordChangeDoneView.as_view(
    template_name="registration/new_password_done.html"
)

urlpatterns = [
    path("login/", views.LogIn.as_view(), name="login"),
    # Whoever is logged out already need not log in for it.
    path("logout/", login_not_required(LogoutView.as_view()), name="logout"),
    path("signup/", views.sign_up, name="sign_up"),
    path("password/", never_cache(views.NewPassword.as_view()), name="password_change"),
    path("password/done/", never_cache(changed), name="password_change_done"),
]
