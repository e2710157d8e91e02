import secrets

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse

from .tokens import MAX_NAME


def new_epoch():
    return secrets.token_hex(4)


def new_invite():
    return secrets.token_urlsafe(16)


class ChatRooms(models.QuerySet):
    def open_to(self, user):
        """The rooms that `user` may enter."""
        inside = Q(is_private=False) | Q(owner=user) | Q(members=user)
        return self.filter(inside).distinct()


class ChatRoom(models.Model):
    name = models.CharField(max_length=200)
    epoch = models.CharField(max_length=8, default=new_epoch, editable=False)
    # Not the highest seq of its messages: the newest one may be deleted one day, and
    # no number is given out twice.
    last_seq = models.BigIntegerField(default=0, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="own_rooms",
    )
    is_private = models.BooleanField(default=False)
    members = models.ManyToManyField(
        settings.AUTH_USER_MODEL, blank=True, related_name="private_rooms"
    )
    # A part of the link that invites. Another value, and the old link leads nowhere.
    invite = models.CharField(max_length=22, default=new_invite, editable=False)

    objects = ChatRooms.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name

    def get_absolute_url(self):
        return reverse("chat_room", args=[self.pk])


class Message(models.Model):
    room = models.ForeignKey(ChatRoom, models.CASCADE, related_name="messages")
    seq = models.BigIntegerField()
    client_id = models.CharField(max_length=64)
    text = models.TextField()
    said_at = models.DateTimeField(auto_now_add=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="said"
    )
    # As it was then. Empty for what was said before messages had authors.
    author_name = models.CharField(max_length=MAX_NAME, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["room", "seq"], name="one_seq"),
            models.UniqueConstraint(fields=["room", "client_id"], name="said_once"),
        ]

    def __str__(self):
        return f"{self.seq}: {self.text[:50]}"

    def told(self):
        """Return the message as both servers tell it."""
        author = {"id": self.author_id, "name": self.author_name}
        if self.author_id is None:
            author = {"id": None, "name": "deleted user"} if self.author_name else None
        said_at = self.said_at.isoformat(timespec="milliseconds")
        return {
            "seq": self.seq,
            "id": self.client_id,
            "text": self.text,
            "author": author,
            "said_at": said_at.replace("+00:00", "Z"),
        }


class Tries(models.Model):
    """How often somebody has tried something, in a single number: see limits.py."""

    key = models.CharField(max_length=64, primary_key=True)
    all_back = models.FloatField(db_index=True)  # seconds since the epoch

    def __str__(self):
        return self.key


class Visit(models.Model):
    """How far a user has read in a room."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="visits"
    )
    room = models.ForeignKey(ChatRoom, models.CASCADE, related_name="visits")
    seq = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "room"], name="one_visit"),
        ]

    def __str__(self):
        return f"{self.user} in {self.room}: {self.seq}"
