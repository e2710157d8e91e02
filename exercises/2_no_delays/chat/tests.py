import time
from unittest.mock import patch

from django.contrib.auth.models import User
from django.core.signing import BadSignature, SignatureExpired, TimestampSigner
from django.test import SimpleTestCase, TestCase, override_settings
from django.urls import reverse
from django.utils.html import json_script

from .models import ChatRoom
from .tokens import KEY, MAX_AGE, make_token, read_token


class IndexTests(TestCase):
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


class ChatRoomTests(TestCase):
    def setUp(self):
        self.room = ChatRoom.objects.create(name="<b>Tom & Jerry</b>")

    def test_a_room_shows_its_name_as_text(self):
        response = self.client.get(self.room.get_absolute_url())
        self.assertContains(response, "<h1>&lt;b&gt;Tom &amp; Jerry&lt;/b&gt;</h1>")

    def test_a_room_has_an_input_box_and_an_empty_message_list(self):
        response = self.client.get(self.room.get_absolute_url())
        self.assertContains(response, '<input id="message"')
        self.assertContains(response, '<ul id="messages"></ul>', html=True)

    @override_settings(CHAT_SERVER="127.0.0.1:4321")
    def test_a_room_says_where_the_chat_server_is(self):
        response = self.client.get(self.room.get_absolute_url())
        self.assertContains(response, "ws://127.0.0.1:4321/ws")

    @override_settings(CHAT_SERVER="127.0.0.1:4321")
    def test_a_room_is_there_by_long_polling_too(self):
        response = self.client.get(f"/chats/long_poll/{self.room.pk}/")
        self.assertContains(response, "<h1>&lt;b&gt;Tom &amp; Jerry&lt;/b&gt;</h1>")
        self.assertContains(response, "http://127.0.0.1:4321/")

    def test_both_pages_of_a_room_carry_the_token_that_opens_it(self):
        for path in ("", "long_poll/"):
            response = self.client.get(f"/chats/{path}{self.room.pk}/")
            token = response.context["chat_token"]
            self.assertEqual(read_token(token), self.room.pk)
            self.assertContains(response, json_script(token, "chat-token"), html=True)

    def test_an_unknown_room_is_not_found(self):
        self.assertEqual(self.client.get("/chats/987654/").status_code, 404)
        self.assertEqual(self.client.get("/chats/long_poll/987654/").status_code, 404)

    def test_a_room_is_known_by_its_name(self):
        self.assertEqual(str(self.room), "<b>Tom & Jerry</b>")


class TokenTests(SimpleTestCase):
    def test_a_token_for_one_room_made_into_one_for_another_opens_none(self):
        _, signed = make_token(1).split(":", 1)
        with self.assertRaises(BadSignature):
            read_token(f"2:{signed}")

    def test_what_the_same_key_signs_elsewhere_is_no_token(self):
        with self.assertRaises(BadSignature):
            read_token(TimestampSigner(key=KEY).sign("1"))

    def test_a_token_expires(self):
        token, later = make_token(1), time.time() + MAX_AGE + 1
        with patch("django.core.signing.time.time", lambda: later):
            self.assertRaises(SignatureExpired, read_token, token)


class AdminTests(TestCase):
    def test_staff_can_edit_the_rooms(self):
        self.client.force_login(User.objects.create_superuser("staff"))
        response = self.client.get(reverse("admin:chat_chatroom_changelist"))
        self.assertContains(response, "Lobby")
