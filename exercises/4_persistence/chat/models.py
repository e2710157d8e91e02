import secrets

from django.db import models
from django.urls import reverse


def new_epoch():
    return secrets.token_hex(4)


class ChatRoom(models.Model):
    name = models.CharField(max_length=200)
    epoch = models.CharField(max_length=8, default=new_epoch, editable=False)
    # Not the highest seq of its messages: the newest one may be deleted one day, and
    # no number is given out twice.
    last_seq = models.BigIntegerField(default=0, editable=False)

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

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["room", "seq"], name="one_seq"),
            models.UniqueConstraint(fields=["room", "client_id"], name="said_once"),
        ]

    def __str__(self):
        return f"{self.seq}: {self.text[:50]}"
