import io
import json
import time
from datetime import timedelta
from unittest.mock import patch

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.core.signing import BadSignature, SignatureExpired, Signer
from django.db import IntegrityError, OperationalError
from django.test import SimpleTestCase, TestCase, override_settings
from django.urls import reverse
from django.utils import timezone
from django.utils.html import json_script

from .forms import RoomForm, SignUpForm
from .models import ChatRoom, Message, Tries, Visit
from .tokens import KEY, MAX_AGE, make_token, read_token
from .views import PAGE

PASSWORD = "correct horse battery"


class LoggedIn(TestCase):
    """Tests in which Ann is logged in."""

    def setUp(self):
        self.ann = User.objects.create_user("Ann")
        self.bob = User.objects.create_user("Bob")
        self.client.force_login(self.ann)

    def as_bob(self):
        self.client.force_login(self.bob)


class AccountTests(TestCase):
    def sign_up(self, name, next_page=""):
        form = {"username": name, "password1": PASSWORD, "password2": PASSWORD}
        return self.client.post("/accounts/signup/", form | {"next": next_page})

    def test_who_is_nobody_is_sent_to_the_login(self):
        for path in ("/chats/", "/chats/1/", "/chats/new/", "/accounts/password/"):
            response = self.client.get(path)
            self.assertRedirects(response, f"/accounts/login/?next={path}")

    def test_scripts_are_told_401(self):
        room = ChatRoom.objects.first()
        for what in ("token", "earlier"):
            response = self.client.get(f"/chats/{room.pk}/{what}/")
            self.assertEqual(response.status_code, 401)
            self.assertEqual(response.json()["status"], 0)
        self.assertEqual(self.client.post(f"/chats/{room.pk}/read/").status_code, 401)

    def test_who_signs_up_is_logged_in_and_goes_on(self):
        self.assertRedirects(self.sign_up("Ann", "/chats/new/"), "/chats/new/")
        self.assertContains(self.client.get("/chats/"), "Ann")
        self.assertTrue(User.objects.get(username="Ann").check_password(PASSWORD))

    def test_of_two_who_take_one_name_at_once_the_second_is_told(self):
        with patch.object(SignUpForm, "save", side_effect=IntegrityError):
            self.assertContains(self.sign_up("Ann"), "taken in this moment")
        self.assertNotIn("_auth_user_id", self.client.session)

    def test_what_is_shown_to_one_is_kept_for_no_other(self):
        self.sign_up("Ann")
        pages = ("/chats/", "/chats/new/", "/accounts/password/")
        for path in (*pages, "/accounts/password/done/"):
            self.assertIn("no-store", self.client.get(path)["Cache-Control"], path)

    def test_nobody_is_sent_to_another_site(self):
        for number, page in enumerate(["//evil.example/", "https://evil.example/"]):
            self.assertRedirects(self.sign_up(f"Ann{number}x", page), "/chats/")
            self.client.logout()

    def test_who_logs_out_does_it_on_purpose(self):
        self.sign_up("Ann")
        self.assertEqual(self.client.get("/accounts/logout/").status_code, 405)
        response = self.client.post("/accounts/logout/")
        self.assertRedirects(response, "/accounts/login/")
        self.assertEqual(self.client.get("/chats/").status_code, 302)
        again = self.client.post("/accounts/logout/")
        self.assertRedirects(again, "/accounts/login/")

    def test_a_password_can_be_changed(self):
        self.sign_up("Ann")
        new = "another long password"
        form = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
        response = self.client.post("/accounts/password/", form)
        self.assertRedirects(response, "/accounts/password/done/")
        self.assertTrue(self.client.login(username="Ann", password=new))

    def test_forms_are_taken_from_our_own_pages_only(self):
        strict = self.client_class(enforce_csrf_checks=True)
        for path in ("login", "signup", "logout"):
            response = strict.post(f"/accounts/{path}/", {"username": "Ann"})
            self.assertEqual(response.status_code, 403)


@override_settings(
    CHAT_LOGINS=[3, 60],
    CHAT_PROXIES=["10.0.0.1"],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # is quick
)
class LimitTests(TestCase):
    def setUp(self):
        User.objects.create_user("Ann", password=PASSWORD)
        User.objects.create_user("Bob", password=PASSWORD)

    def log_in(self, name, password="wrong", address="10.1.1.1", **headers):
        form = {"username": name, "password": password, "next": "/chats/new/"}
        return self.client.post(
            "/accounts/login/", form, REMOTE_ADDR=address, headers=headers
        )

    def sign_up(self, name, address="10.1.1.1"):
        form = {"username": name, "password1": PASSWORD, "password2": PASSWORD}
        return self.client.post("/accounts/signup/", form, REMOTE_ADDR=address)

    def assertTooOften(self, response):
        self.assertEqual(response.status_code, 429)
        self.assertIn(int(response["Retry-After"]), range(1, 21))
        self.assertContains(response, "tried too often", status_code=429)
        self.assertContains(response, 'name="username"', status_code=429)

    def test_an_address_has_so_many_wrong_logins(self):
        for name in ("Ann", "Bob", "Cy"):
            self.assertEqual(self.log_in(name).status_code, 200)
        response = self.log_in("Ann", PASSWORD)
        self.assertTooOften(response)
        self.assertContains(response, 'value="Ann"', status_code=429)
        self.assertContains(response, 'value="/chats/new/"', status_code=429)
        other = self.log_in("Ann", PASSWORD, "10.1.1.2")
        self.assertRedirects(other, "/chats/new/")

    def test_a_name_has_so_many_from_all_addresses(self):
        # However it is written.
        for number, name in enumerate(["Ann", " Ann ", "\uff21nn"]):
            self.log_in(name, address=f"10.1.1.{number}")
        self.assertTooOften(self.log_in("Ann", PASSWORD, "10.1.1.9"))
        self.assertRedirects(self.log_in("Bob", PASSWORD, "10.1.1.9"), "/chats/new/")

    def test_whom_others_guess_at_gets_in_where_they_have_been(self):
        known = self.log_in("Ann", PASSWORD).cookies["known"]
        self.client.logout()
        for number in range(4):
            response = self.log_in("Ann", address=f"10.1.1.{number}")
        self.assertTooOften(response)
        self.client.cookies["known"] = known.value
        self.assertRedirects(self.log_in("Ann", PASSWORD), "/chats/new/")
        # To others it is of no use.
        for _ in range(3):
            self.log_in("Bob", address="10.1.1.8")
        self.assertTooOften(self.log_in("Bob", address="10.1.1.9"))

    def test_right_logins_cost_nothing(self):
        for _ in range(5):
            self.assertRedirects(self.log_in("Ann", PASSWORD), "/chats/new/")

    def test_one_try_comes_back_after_its_share_of_the_time(self):
        now = time.time()
        with patch("chat.limits.time.time") as clock:
            clock.return_value = now
            for _ in range(3):
                self.log_in("Ann")
            self.assertEqual(self.log_in("Ann")["Retry-After"], "20")
            clock.return_value = now + 20.1
            self.assertEqual(self.log_in("Ann").status_code, 200)
            self.assertTooOften(self.log_in("Ann"))
            clock.return_value = now + 200
            for _ in range(3):
                self.assertEqual(self.log_in("Ann").status_code, 200)
            self.assertTooOften(self.log_in("Ann"))

    def test_an_address_has_so_many_sign_ups(self):
        for name in ("Cy", "", "Dee"):
            self.sign_up(name)
            self.client.logout()
        self.assertTooOften(self.sign_up("Eve"))
        self.assertFalse(User.objects.filter(username="Eve").exists())

    def test_who_signs_up_uses_up_no_logins_and_the_other_way_round(self):
        for name in ("Cy", "Dee", "Eve"):
            self.sign_up(name)
            self.client.logout()
        self.assertRedirects(self.log_in("Ann", PASSWORD), "/chats/new/")
        for name in ("Gus", "Hal", "Ida"):
            self.log_in(name, address="10.1.1.2")
        self.assertEqual(self.sign_up("Fay", "10.1.1.2").status_code, 302)

    def test_a_name_that_is_used_up_costs_an_address_nothing(self):
        for number in range(3):
            self.log_in("Ann", address=f"10.1.1.{number}")
        for _ in range(5):
            self.assertTooOften(self.log_in("Ann", address="10.1.1.9"))
        self.assertRedirects(self.log_in("Bob", PASSWORD, "10.1.1.9"), "/chats/new/")

    def test_an_old_password_is_guessed_so_often_and_no_more(self):
        self.log_in("Ann", PASSWORD)
        new = "another long password"
        form = {"old_password": "wrong", "new_password1": new, "new_password2": new}
        for _ in range(3):
            response = self.client.post("/accounts/password/", form)
            self.assertEqual(response.status_code, 200)
        right = form | {"old_password": PASSWORD}
        response = self.client.post("/accounts/password/", right)
        self.assertIn("Retry-After", response.headers)
        self.assertContains(response, "tried too often", status_code=429)
        self.assertFalse(self.client.login(username="Ann", password=new))

    def test_half_a_character_is_no_error(self):
        for path in ("login", "signup"):
            kind = "multipart/form-data; charset=utf-7; boundary=x"
            body = b"--x\r\nContent-Disposition: form-data; name=username\r\n\r\n"
            response = self.client.generic(
                "POST", f"/accounts/{path}/", body + b"+2AA-\r\n--x--\r\n", kind
            )
            self.assertEqual(response.status_code, 400)

    def test_a_network_of_ipv6_counts_as_one_address(self):
        for number, name in enumerate(["Cy", "Dee", "Eve"]):
            self.log_in(name, address=f"2001:db8:1:1::{number}")
        self.assertTooOften(self.log_in("Ann", address="2001:db8:1:1:ffff::"))
        self.assertEqual(self.log_in("Ann", address="2001:db8:1:2::").status_code, 200)

    def test_a_proxy_of_ours_is_believed_and_nobody_else(self):
        for number, name in enumerate(["Cy", "Dee", "Eve", "Fay"]):
            from_proxy = {"x-real-ip": f"10.1.1.{number}"}
            response = self.log_in(name, address="10.0.0.1", **from_proxy)
            self.assertEqual(response.status_code, 200)
        for number, name in enumerate(["Cy", "Dee", "Eve", "Fay"]):
            response = self.log_in(name, **{"x-real-ip": f"10.1.2.{number}"})
        self.assertTooOften(response)

    def test_the_admin_has_the_same_login(self):
        response = self.client.get("/admin/", follow=True)
        self.assertRedirects(response, "/accounts/login/?next=%2Fadmin%2F")

    def test_what_is_stored_tells_nothing_and_goes(self):
        self.log_in("a password typed for a name")
        self.assertEqual(Tries.objects.count(), 2)
        stored = str(Tries.objects.values_list())
        self.assertNotIn("password", stored)
        self.assertNotIn("10.1.1.1", stored)
        for seconds in (-61, 60 + 61):  # long ago; or the clock was set back
            Tries.objects.update(all_back=time.time() + seconds)
            self.log_in("Ann", address="10.1.1.2")
            self.assertEqual(Tries.objects.count(), 2)


class RenewalTests(LoggedIn):
    def test_a_login_outlives_the_key_in_all_requests_that_are_under_way(self):
        late = self.client_class()
        late.cookies["sessionid"] = self.client.cookies["sessionid"].value
        with override_settings(
            SECRET_KEY="another", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]
        ):
            for client in (self.client, late):
                self.assertEqual(client.get("/chats/").status_code, 200)
        # From then on the new key is enough.
        with override_settings(SECRET_KEY="another"):
            self.assertEqual(self.client.get("/chats/").status_code, 200)
        self.assertEqual(self.client.get("/chats/").status_code, 302)

    def test_who_logs_in_has_another_session_than_before(self):
        self.client.logout()
        self.client.cookies["sessionid"] = before = "a" * 32
        User.objects.create_user("Cy", password=PASSWORD)
        form = {"username": "Cy", "password": PASSWORD}
        self.client.post("/accounts/login/", form)
        self.assertNotEqual(self.client.cookies["sessionid"].value, before)


class HeaderTests(LoggedIn):
    def test_a_page_may_load_and_reach_what_it_needs_and_no_more(self):
        for path in (
            "/chats/",
            "/chats/1/",
            "/accounts/login/",
            "/admin/",
            "/chats/0/",
        ):
            policy = self.client.get(path)["Content-Security-Policy"]
            rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
            self.assertEqual(rules["default-src"], "'none'")
            self.assertEqual(rules["script-src"], "'self'")
            self.assertEqual(rules["frame-ancestors"], "'none'")
            [server] = settings.CHAT_SERVERS
            reached = f"'self' ws://{server} http://{server}"
            self.assertEqual(rules["connect-src"], reached)

    def test_other_headers(self):
        response = self.client.get("/chats/")
        self.assertEqual(response["X-Content-Type-Options"], "nosniff")
        self.assertEqual(response["X-Frame-Options"], "DENY")
        self.assertEqual(response["Referrer-Policy"], "same-origin")

    @override_settings(CHAT_SERVERS=[])
    def test_behind_a_proxy_a_page_talks_to_its_own_name(self):
        for path, url in [("", "wss://testserver/ws"), ("long_poll/", "/poll")]:
            room = ChatRoom.objects.first()
            response = self.client.get(f"/chats/{path}{room.pk}/")
            self.assertTrue(response.context["chat_urls"][0].endswith(url))


class NameTests(TestCase):
    def refuses(self, name):
        form = {"username": name, "password1": PASSWORD, "password2": PASSWORD}
        return SignUpForm(form).errors.get("username")

    def test_no_two_names_look_alike(self):
        for name in ("Paul", "c0c0", "pop", "\u0441\u043e\u0440"):  # Cyrillic "cop"
            User.objects.create_user(name)
        cyrillic, greek, wide = (
            "\u0441\u043e\u0441\u043e",
            "\u03c1\u03bf\u03c1",
            "\uff30aul",
        )
        for name in ("paul", "PAUL", "Pau1", "PauI", "coco", "cop", "You"):
            self.assertTrue(self.refuses(name), name)
        for name in (cyrillic, greek, wide):
            self.assertTrue(self.refuses(name), name)
        for name in ("Paula", "Павел", "Παύλος", "פאול", "保罗"):
            self.assertIsNone(self.refuses(name), name)

    def test_a_name_says_why_it_is_refused(self):
        self.assertIn("alphabets", str(self.refuses("P\u0430ul")))
        self.assertIn("cannot be seen", str(self.refuses("\u3164")))
        for name in ("<b>Paul", "Paul\u202e", " ", "Pa ul", "x" * 151, "\u200bPaul"):
            self.assertTrue(self.refuses(name), repr(name))


class RoomFormTests(TestCase):
    def refuses(self, name):
        return RoomForm({"name": name, "is_private": "True"}).errors.get("name")

    def test_a_name_can_be_seen_and_turns_nothing_around(self):
        unseen = ["\u200b", "\u3164", "\u115f \u115f", "\ufe0f", "\u034f", "\u2800"]
        for name in ("", "  ", "x" * 201, "abc\u202e", "\u2066abc", *unseen):
            self.assertTrue(self.refuses(name), repr(name))
        for name in ("Zoo", "חדר", "<b>", "👩‍🚀", "हिन्दी", "1"):
            self.assertIsNone(self.refuses(name), name)


class OwnRoomTests(LoggedIn):
    def make(self, is_private):
        form = {"name": "Den", "is_private": is_private}
        response = self.client.post("/chats/new/", form)
        room = ChatRoom.objects.get(name="Den")
        return room, response

    def link(self, room):
        return self.client.get(f"/chats/{room.pk}/people/").context["link"]

    def test_an_open_room_is_open_to_all(self):
        room, response = self.make("False")
        self.assertRedirects(response, f"/chats/{room.pk}/")
        self.assertEqual(room.owner, self.ann)
        self.as_bob()
        self.assertEqual(self.client.get(f"/chats/{room.pk}/").status_code, 200)
        self.assertEqual(self.client.get(f"/chats/{room.pk}/people/").status_code, 404)

    def test_who_is_not_invited_finds_no_room(self):
        room, response = self.make("True")
        self.assertRedirects(response, f"/chats/{room.pk}/people/")
        self.as_bob()
        self.assertNotContains(self.client.get("/chats/"), "Den")
        for path in ("", "token/", "earlier/", "people/"):
            response = self.client.get(f"/chats/{room.pk}/{path}")
            self.assertEqual(response.status_code, 404, path)
        for path in ("read/", "people/link/", f"people/{self.bob.pk}/remove/"):
            response = self.client.post(f"/chats/{room.pk}/{path}", {"seq": 1})
            self.assertEqual(response.status_code, 404, path)
        response = self.client.get(f"/chats/long_poll/{room.pk}/")
        self.assertEqual(response.status_code, 404)

    def test_whoever_has_the_link_may_join(self):
        room, _ = self.make("True")
        link = self.link(room)
        self.as_bob()
        self.assertContains(self.client.get(link), "Invitation to Den")
        self.assertEqual(self.client.get(f"/chats/{room.pk}/").status_code, 404)
        self.assertRedirects(self.client.post(link), f"/chats/{room.pk}/")
        self.assertContains(self.client.get("/chats/"), "Den")

    def test_a_link_can_be_taken_back(self):
        room, _ = self.make("True")
        link = self.link(room)
        self.client.post(f"/chats/{room.pk}/people/link/")
        another = self.link(room)
        self.as_bob()
        for old in (link, link[:-5] + "xxxx/", "/chats/invitation/x/"):
            self.assertEqual(self.client.post(old).status_code, 404)
        self.assertRedirects(self.client.post(another), f"/chats/{room.pk}/")

    def test_who_is_removed_does_not_come_back_by_the_old_link(self):
        room, _ = self.make("True")
        link = self.link(room)
        room.members.add(self.bob)
        ChatRoom.objects.filter(pk=room.pk).update(last_seq=4)  # by the chat server
        self.client.post(f"/chats/{room.pk}/people/{self.bob.pk}/remove/")
        self.as_bob()
        self.assertEqual(self.client.get(f"/chats/{room.pk}/").status_code, 404)
        self.assertEqual(self.client.post(link).status_code, 404)
        room.refresh_from_db()
        self.assertEqual(room.last_seq, 4)

    def test_what_the_login_leads_back_to_is_a_page(self):
        room, _ = self.make("True")
        link = self.link(room)
        for path in ("link/", f"{self.bob.pk}/remove/"):
            response = self.client.get(f"/chats/{room.pk}/people/{path}")
            self.assertRedirects(response, f"/chats/{room.pk}/people/")
        self.assertEqual(self.link(room), link)

    def test_whoever_is_no_member_cannot_be_removed(self):
        room, _ = self.make("True")
        for user in (self.bob.pk, 10**30):
            path = f"/chats/{room.pk}/people/{user}/remove/"
            self.assertEqual(self.client.post(path).status_code, 404)


class MigrationTests(TestCase):
    def test_each_room_of_before_is_given_a_link_of_its_own(self):
        invites = ChatRoom.objects.values_list("invite", flat=True)
        self.assertEqual(len({*invites}), 3)


class UnreadTests(LoggedIn):
    def unread(self):
        rooms = self.client.get("/chats/").context["chat_rooms"]
        return {room.name: room.unread for room in rooms}["Archive"]

    def read(self, room, seq):
        return self.client.post(f"/chats/{room.pk}/read/", {"seq": seq})

    def test_what_somebody_has_read_is_not_new_to_them(self):
        room = make_room(5)
        self.assertEqual(self.unread(), 5)
        for seq, unread in [(3, 2), (2, 2), (99, 0), (4, 0)]:
            self.assertEqual(self.read(room, seq).status_code, 200)
            self.assertEqual(self.unread(), unread)
        self.as_bob()
        self.assertContains(self.client.get("/chats/"), "5 new")

    def test_what_is_no_number_is_refused(self):
        for seq in ("", "x", "1.5", "9" * 5000):
            self.assertEqual(self.read(make_room(1), seq).status_code, 400)

    def test_without_a_database_it_says_so(self):
        room = make_room(1)
        with patch.object(Visit.objects, "get_or_create", side_effect=OperationalError):
            self.assertEqual(self.read(room, 1).status_code, 503)


class IndexTests(LoggedIn):
    def test_the_front_page_leads_to_the_list_of_rooms(self):
        self.assertRedirects(self.client.get("/"), "/chats/")

    def test_every_room_is_a_link(self):
        room = ChatRoom.objects.create(name="Library")
        response = self.client.get(reverse("index"))
        self.assertContains(
            response, f'<a href="/chats/{room.pk}/">Library</a>', html=True
        )

    def test_a_fresh_database_has_demo_rooms(self):
        self.assertContains(self.client.get(reverse("index")), "Lobby")

    def test_without_rooms_the_page_says_so(self):
        ChatRoom.objects.all().delete()
        self.assertContains(self.client.get(reverse("index")), "no rooms yet")


class ChatRoomTests(LoggedIn):
    def setUp(self):
        super().setUp()
        self.room = ChatRoom.objects.create(name="<b>Tom & Jerry</b>")

    def test_a_room_shows_its_name_as_text(self):
        response = self.client.get(self.room.get_absolute_url())
        self.assertContains(response, "<h1>&lt;b&gt;Tom &amp; Jerry&lt;/b&gt;</h1>")

    def test_a_room_has_an_input_box_and_an_empty_message_list(self):
        response = self.client.get(self.room.get_absolute_url())
        self.assertContains(response, '<input id="message"')
        self.assertContains(response, '<ul id="messages"')

    @override_settings(CHAT_SERVERS=["127.0.0.1:4321"])
    def test_a_room_says_where_the_chat_server_is(self):
        response = self.client.get(self.room.get_absolute_url())
        self.assertContains(response, "ws://127.0.0.1:4321/ws")

    @override_settings(CHAT_SERVERS=["127.0.0.1:4321"])
    def test_a_room_is_there_by_long_polling_too(self):
        response = self.client.get(f"/chats/long_poll/{self.room.pk}/")
        self.assertContains(response, "<h1>&lt;b&gt;Tom &amp; Jerry&lt;/b&gt;</h1>")
        self.assertContains(response, "http://127.0.0.1:4321/")

    def test_both_pages_of_a_room_carry_the_token_that_opens_it(self):
        for path in ("", "long_poll/"):
            response = self.client.get(f"/chats/{path}{self.room.pk}/")
            token = response.context["chat_token"]
            ticket = read_token(token)
            said = (ticket.room, ticket.user, ticket.name)
            self.assertEqual(said, (self.room.pk, self.ann.pk, "Ann"))
            self.assertContains(response, json_script(token, "chat-token"), html=True)

    def test_the_next_token_is_for_who_asks(self):
        response = self.client.get(f"/chats/{self.room.pk}/token/")
        self.assertEqual(response.json()["seconds"], MAX_AGE)
        self.assertEqual(response.json()["user"], self.ann.pk)
        self.assertEqual(read_token(response.json()["token"]).user, self.ann.pk)
        self.assertIn("no-store", response["Cache-Control"])

    def test_who_is_deactivated_gets_no_token(self):
        User.objects.update(is_active=False)
        response = self.client.get(f"/chats/{self.room.pk}/token/")
        self.assertEqual(response.status_code, 401)

    def test_an_unknown_room_is_not_found(self):
        self.assertEqual(self.client.get("/chats/987654/").status_code, 404)
        self.assertEqual(self.client.get("/chats/long_poll/987654/").status_code, 404)

    def test_a_room_is_known_by_its_name(self):
        self.assertEqual(str(self.room), "<b>Tom & Jerry</b>")


def make_room(messages):
    room = ChatRoom.objects.create(name="Archive", last_seq=messages)
    rows = [
        Message(room=room, seq=seq, client_id=f"id{seq}", text=f"text {seq}")
        for seq in range(1, messages + 1)
    ]
    Message.objects.bulk_create(rows)
    return room


class EarlierTests(LoggedIn):
    def ask(self, room, before):
        response = self.client.get(f"/chats/{room.pk}/earlier/", {"before": before})
        return response.status_code, response.json()

    def numbers(self, room, before):
        status, reply = self.ask(room, before)
        self.assertEqual(status, 200)
        return [message["seq"] for message in reply["data"]], reply["more"]

    def test_a_page_ends_just_before_the_number(self):
        newest = 2 * PAGE + 1
        room = make_room(newest)
        page = list(range(newest - PAGE, newest))
        self.assertEqual(self.numbers(room, newest), (page, True))
        first = list(range(1, PAGE + 1))
        self.assertEqual(self.numbers(room, PAGE + 1), (first, False))
        self.assertEqual(self.numbers(room, PAGE + 2)[1], True)
        self.assertEqual(self.numbers(room, 1), ([], False))

    def test_a_message_is_told_as_the_chat_server_tells_it(self):
        _, reply = self.ask(make_room(2), 2)
        message = {"seq": 1, "id": "id1", "text": "text 1", "author": None}
        message["said_at"] = reply["data"][0]["said_at"]
        told = {"status": 1, "more": False, "data": [message]}
        # And how far the database is: what comes after that is not moved yet.
        self.assertEqual(reply, told | {"last": 2})

    def test_a_message_keeps_the_name_that_its_author_had(self):
        room = make_room(2)
        room.messages.update(author=self.bob, author_name="Bob")
        User.objects.filter(pk=self.bob.pk).update(username="Robert")
        [message] = self.ask(room, 2)[1]["data"]
        self.assertEqual(message["author"], {"id": self.bob.pk, "name": "Bob"})
        self.bob.delete()
        [message] = self.ask(room, 2)[1]["data"]
        self.assertEqual(message["author"], {"id": None, "name": "deleted user"})

    def test_another_rooms_messages_are_not_told(self):
        make_room(3)
        self.assertEqual(self.numbers(make_room(0), 3), ([], False))

    def test_what_is_no_number_is_refused(self):
        room = make_room(1)
        for before in ("", "x", "1.5", "9" * 5000):
            status, reply = self.ask(room, before)
            self.assertEqual((status, reply["status"]), (400, 0))
        self.assertEqual(self.numbers(room, "9" * 30), ([1], False))

    def test_the_page_knows_where_to_ask(self):
        room = make_room(0)
        for path in ("", "long_poll/"):
            response = self.client.get(f"/chats/{path}{room.pk}/")
            self.assertContains(response, f'data-url="/chats/{room.pk}/earlier/"')


class PruneTests(TestCase):
    def setUp(self):
        self.room = make_room(1200)

    def prune(self, **options):
        output = io.StringIO()
        call_command("prune_messages", stdout=output, **options)
        self.room.refresh_from_db()
        numbers = self.room.messages.values_list("seq", flat=True)
        return output.getvalue().strip(), sorted(numbers)

    def test_the_newest_are_kept_and_the_count_goes_on(self):
        output, kept = self.prune(keep_last=100)
        self.assertEqual(output, "Messages deleted: 1100")
        self.assertEqual(kept, list(range(1101, 1201)))
        self.assertEqual(self.prune(keep_last=0)[1], [])
        self.assertEqual(self.room.last_seq, 1200)

    def test_what_is_young_is_kept_and_leaves_no_hole(self):
        old = timezone.now() - timedelta(days=8)
        # The clock was set back for a while: 15 says that it is older than 11.
        self.room.messages.filter(seq__lte=10).update(said_at=old)
        self.room.messages.filter(seq=15).update(said_at=old)
        self.assertEqual(self.prune(keep_days=7)[1], list(range(11, 1201)))
        self.assertEqual(self.prune(keep_days=7, keep_last=5)[1][0], 11)

    def test_a_dry_run_only_counts(self):
        output, kept = self.prune(keep_last=1000, dry_run=True)
        self.assertEqual(output, "Messages to delete: 200")
        self.assertEqual(len(kept), 1200)

    def test_it_has_to_be_said_what_is_kept(self):
        for options in ({}, {"keep_last": -1}, {"keep_days": 10**9}):
            with self.assertRaises(CommandError):
                self.prune(**options)


class EpochTests(TestCase):
    def test_each_room_has_a_log_of_its_own(self):
        ChatRoom.objects.create(name="One more")
        epochs = ChatRoom.objects.values_list("epoch", flat=True)
        self.assertEqual(len(set(epochs)), 4)


class TokenTests(SimpleTestCase):
    def setUp(self):
        self.token = make_token(1, User(pk=5, username="Ann"))

    def later(self, seconds):
        now = time.time() + seconds
        return patch("chat.tokens.time.time", lambda: now)

    def test_a_token_made_into_one_for_another_opens_nothing(self):
        said, signature = self.token.split(":", 1)
        other, _ = make_token(1, User(pk=6, username="Bob")).split(":", 1)
        for token in (f"{other}:{signature}", self.token[:-1], self.token * 2, said):
            with self.assertRaises(BadSignature):
                read_token(token)

    def test_a_room_has_one_number_written_in_one_way(self):
        for room in ("1", "01", True, 1.0, 0, -1, None):
            said = {"room": room, "user": 5, "name": "Ann", "expires": 9e9}
            token = Signer(key=KEY, salt="chat.names").sign_object(said)
            with self.assertRaises(BadSignature):
                read_token(token)

    def test_what_the_same_key_signs_elsewhere_is_no_token(self):
        said = json.dumps({"room": 1, "user": 5, "name": "Ann", "expires": 9e9})
        with self.assertRaises(BadSignature):
            read_token(Signer(key=KEY).sign_object(said))

    def test_a_token_expires(self):
        with self.later(MAX_AGE + 1):
            self.assertRaises(SignatureExpired, read_token, self.token)

    def test_the_clocks_may_be_one_minute_apart(self):
        for seconds in (-60, 60):
            with self.later(seconds):
                self.assertEqual(read_token(self.token).name, "Ann")


class AdminTests(TestCase):
    def test_staff_can_edit_the_rooms(self):
        self.client.force_login(User.objects.create_superuser("staff"))
        response = self.client.get(reverse("admin:chat_chatroom_changelist"))
        self.assertContains(response, "Lobby")

    def test_who_renames_a_room_leaves_its_numbers_alone(self):
        room = make_room(3)
        ChatRoom.objects.filter(pk=room.pk).update(last_seq=4)  # by the chat server
        self.client.force_login(User.objects.create_superuser("staff"))
        with patch("django.contrib.admin.ModelAdmin.get_object", return_value=room):
            change = f"/admin/chat/chatroom/{room.pk}/change/"
            self.client.post(change, {"name": "Old letters"})
        room.refresh_from_db()
        self.assertEqual((room.name, room.last_seq), ("Old letters", 4))
