import io
import time
from datetime import timedelta
from unittest.mock import patch

from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.core.signing import BadSignature, SignatureExpired, TimestampSigner
from django.test import SimpleTestCase, TestCase, override_settings
from django.urls import reverse
from django.utils import timezone
from django.utils.html import json_script

from .models import ChatRoom, Message
from .tokens import KEY, MAX_AGE, make_token, read_token
from .views import PAGE


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


def make_room(messages):
    room = ChatRoom.objects.create(name="Archive", last_seq=messages)
    rows = [
        Message(room=room, seq=seq, client_id=f"id{seq}", text=f"text {seq}")
        for seq in range(1, messages + 1)
    ]
    Message.objects.bulk_create(rows)
    return room


class EarlierTests(TestCase):
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
        message = {"seq": 1, "id": "id1", "text": "text 1"}
        self.assertEqual(reply, {"status": 1, "more": False, "data": [message]})

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

    def test_who_renames_a_room_leaves_its_numbers_alone(self):
        room = make_room(3)
        ChatRoom.objects.filter(pk=room.pk).update(last_seq=4)  # by the chat server
        self.client.force_login(User.objects.create_superuser("staff"))
        with patch("django.contrib.admin.ModelAdmin.get_object", return_value=room):
            change = f"/admin/chat/chatroom/{room.pk}/change/"
            self.client.post(change, {"name": "Old letters"})
        room.refresh_from_db()
        self.assertEqual((room.name, room.last_seq), ("Old letters", 4))
