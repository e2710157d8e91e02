from functools import wraps

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import (
    AuthenticationForm,
    PasswordChangeForm,
    UsernameField,
)
from django.contrib.auth.views import LoginView, PasswordChangeView
from django.core import signing
from django.db import IntegrityError, OperationalError, transaction
from django.db.models import F, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from . import limits
from .forms import RoomForm, SignUpForm
from .models import ChatRoom, Visit, new_invite
from .tokens import MAX_AGE, MAX_NAME, make_token

PAGE = 50  # messages
YEAR = 365 * 24 * 60 * 60  # seconds
# With the salt, nothing else that Django signs passes for an invitation.
invitations = signing.Signer(salt="chat.invitation")


def too_often(request, template, form_class, wait):
    """Show a form again, and say how many seconds it takes no more."""
    form = form_class(initial={"username": request.POST.get("username")})
    context = {"form": form, "next": request.POST.get("next", ""), "wait": wait}
    response = render(request, template, context, status=429)
    response["Retry-After"] = wait
    return response


class LogIn(LoginView):
    """Django's login, for those who do not guess passwords."""

    def post(self, request, *args, **kwargs):
        # As the form reads it. Else there would be many spellings, each with its tries.
        typed = request.POST.get("username", "")
        name = UsernameField(max_length=MAX_NAME).to_python(typed)
        # Who guesses uses up the tries of a name. Those of a browser that somebody has
        # logged in with before, under this name, are others.
        self.known = salted_hmac("chat.known", name, algorithm="sha256").hexdigest()
        shown = request.COOKIES.get("known", "")
        known = constant_time_compare(shown, self.known)
        self.tries = [
            ("log in", limits.sender(request)),
            ("known" if known else "name", name),
        ]
        # Before we look at the password: a hundred guesses may come at once.
        if wait := limits.take_all(self.tries):
            return too_often(request, self.template_name, AuthenticationForm, wait)
        return super().post(request, *args, **kwargs)

    def form_valid(self, form):
        for key in self.tries:
            limits.give_back(key)
        response = super().form_valid(form)
        secure = settings.SESSION_COOKIE_SECURE
        kept = {"max_age": YEAR, "httponly": True, "samesite": "Lax", "secure": secure}
        response.set_cookie("known", self.known, **kept)
        return response


class NewPassword(PasswordChangeView):
    """Django's page to change a password, for those who do not guess the old one."""

    template_name = "registration/new_password.html"

    def post(self, request, *args, **kwargs):
        key = "old password", request.user.pk
        if wait := limits.take(key):
            context = self.get_context_data(form=PasswordChangeForm(request.user))
            response = self.render_to_response(context | {"wait": wait}, status=429)
            response["Retry-After"] = wait
            return response
        response = super().post(request, *args, **kwargs)
        if response.status_code == 302:
            limits.give_back(key)
        return response


@login_not_required
@sensitive_post_parameters()  # Django's error page shows what was posted.
@never_cache
def sign_up(request):
    next_page = request.POST.get("next", request.GET.get("next", ""))
    # Anybody can make a link to this page, and say in it where to go afterwards.
    if not url_has_allowed_host_and_scheme(
        next_page, {request.get_host()}, require_https=request.is_secure()
    ):
        next_page = ""
    tries = "sign up", limits.sender(request)
    if request.method == "POST" and (wait := limits.take(tries)):
        return too_often(request, "registration/sign_up.html", SignUpForm, wait)
    form = SignUpForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            with transaction.atomic():
                user = form.save()
        except IntegrityError:
            form.add_error("username", "This name was taken in this moment.")
        else:
            login(request, user)
            return redirect(next_page or "index")
    context = {"form": form, "next": next_page}
    return render(request, "registration/sign_up.html", context)


@never_cache
def index(request):
    visits = Visit.objects.filter(user=request.user, room=OuterRef("pk"))
    read = Coalesce(Subquery(visits.values("seq")), 0)
    rooms = ChatRoom.objects.open_to(request.user).annotate(unread=F("last_seq") - read)
    return render(request, "chats/index.html", {"chat_rooms": rooms})


def enter(request, chat_room_id):
    """Return the room, if its visitor may enter it.

    If not, there is no such room: its name is a secret as well.
    """
    return get_object_or_404(ChatRoom.objects.open_to(request.user), pk=chat_room_id)


def room_page(request, template, room, chat_urls):
    context = {
        "chat_room": room,
        "chat_urls": chat_urls,
        "chat_token": make_token(room.pk, request.user),
        "chat_seconds": MAX_AGE,
        "chat_renew": reverse("token", args=[room.pk]),
        "chat_user": request.user.pk,
    }
    return render(request, template, context)


def chat_addresses(request, scheme, path, beside):
    """Return where the chat servers are for the page that is asked for.

    Each has an address of its own, or they are all at the path `beside` of Django's.
    """
    if settings.CHAT_SERVERS:
        return [f"{scheme}://{server}{path}" for server in settings.CHAT_SERVERS]
    return [f"{scheme}s://{request.get_host()}{beside}"]


@never_cache
def chat_room(request, chat_room_id):
    room = enter(request, chat_room_id)
    chat_urls = chat_addresses(request, "ws", "/ws", "/ws")
    return room_page(request, "chats/chat_room.html", room, chat_urls)


@never_cache
def longpoll_chat_room(request, chat_room_id):
    room = enter(request, chat_room_id)
    chat_urls = chat_addresses(request, "http", "/", "/poll")
    return room_page(request, "chats/longpoll_chat_room.html", room, chat_urls)


def for_scripts(view):
    """Answer who is logged out with 401: a script can do nothing with a login form."""

    @login_not_required
    @wraps(view)
    def wrapped(request, **named):
        if not request.user.is_authenticated:
            return JsonResponse({"status": 0, "error": "log in first"}, status=401)
        return view(request, **named)

    return wrapped


@require_GET
@never_cache
@for_scripts
def token(request, chat_room_id):
    """Give the page of a room its next token, and say whose it is."""
    room, user = enter(request, chat_room_id), request.user
    given = {"token": make_token(room.pk, user), "seconds": MAX_AGE, "user": user.pk}
    return JsonResponse({"status": 1, **given})


@require_GET
@never_cache
@for_scripts
def earlier(request, chat_room_id):
    """Tell the messages before the number `before`: of these the newest, in order."""
    room = enter(request, chat_room_id)
    try:
        before = int(request.GET.get("before", ""))
    except ValueError:
        error = {"status": 0, "error": "before is no number"}
        return JsonResponse(error, status=400)
    # One more than is told, to know whether there is more.
    rows = room.messages.filter(seq__lt=before).order_by("-seq")[: PAGE + 1]
    found = [row.told() for row in rows]
    more = len(found) > PAGE
    # What comes after `last`, is still only in the engine.
    told = {"more": more, "data": found[:PAGE][::-1], "last": room.last_seq}
    return JsonResponse({"status": 1, **told})


@require_POST
@for_scripts
def read(request, chat_room_id):
    """Remember how far the visitor of a room has read."""
    room = enter(request, chat_room_id)
    try:
        seq = min(int(request.POST.get("seq", "")), room.last_seq)
    except ValueError:
        return JsonResponse({"status": 0, "error": "seq is no number"}, status=400)
    try:
        visit, _ = Visit.objects.get_or_create(user=request.user, room=room)
        # Only onwards: two windows may tell it in any order.
        Visit.objects.filter(pk=visit.pk, seq__lt=seq).update(seq=seq)
    except OperationalError:
        error = {"status": 0, "error": "not stored, try again later"}
        return JsonResponse(error, status=503)
    return JsonResponse({"status": 1, "seq": seq})


@never_cache
def new_room(request):
    form = RoomForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        form.instance.owner = request.user
        room = form.save()
        return redirect("people", room.pk) if room.is_private else redirect(room)
    return render(request, "chats/new_room.html", {"form": form})


def own_room(request, chat_room_id):
    """Return a room by invitation, if its visitor has made it."""
    rooms = request.user.own_rooms.filter(is_private=True)
    return get_object_or_404(rooms, pk=chat_room_id)


@require_GET
@never_cache
def people(request, chat_room_id):
    """Show to whom a room is open, and the link that invites others."""
    room = own_room(request, chat_room_id)
    signed = invitations.sign_object([room.pk, room.invite])
    link = request.build_absolute_uri(reverse("invitation", args=[signed]))
    members = room.members.exclude(pk=request.user.pk).order_by("username")
    context = {"chat_room": room, "link": link, "members": members}
    return render(request, "chats/people.html", context)


def change_link(request, chat_room_id):
    """Take back the link that invites, and make another one."""
    room = own_room(request, chat_room_id)
    # Whoever comes back from the login, comes by a GET.
    if request.method == "POST":
        take_link_back(room)
    return redirect("people", chat_room_id)


def take_link_back(room):
    room.invite = new_invite()
    # And nothing else: last_seq may have moved on.
    room.save(update_fields=["invite"])


def remove(request, chat_room_id, user_id):
    room = own_room(request, chat_room_id)
    if request.method == "POST":
        member = get_object_or_404(room.members, pk=user_id)
        # First: who is put out knows the link, and would be back in a moment.
        take_link_back(room)
        room.members.remove(member)
    return redirect("people", chat_room_id)


@never_cache
def invitation(request, signed):
    """Ask whoever has the link whether to join. A link alone changes nothing."""
    try:
        pk, invite = invitations.unsign_object(signed)
    except signing.BadSignature:
        raise Http404 from None
    room = get_object_or_404(ChatRoom, pk=pk, invite=invite, is_private=True)
    if request.method == "POST":
        room.members.add(request.user)
        return redirect(room)
    return render(request, "chats/invitation.html", {"chat_room": room})
