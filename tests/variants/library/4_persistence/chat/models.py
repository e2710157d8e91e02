import secrets

from django.db import models


def new_epoch():
    return secrets.token_urlsafe(9)


class ChatRoom(models.Model):
    name = models.CharField(max_length=100)
    opened = models.DateTimeField(auto_now_add=True)
    epoch = models.CharField(max_length=20, default=new_epoch, editable=False)
    newest = models.BigIntegerField(default=0, editable=False)


class Message(models.Model):
    room = models.ForeignKey(ChatRoom, on_delete=models.CASCADE)
    seq = models.BigIntegerField()
    key = models.CharField(max_length=64)  # the id that its sender made
    text = models.TextField()
    said = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["seq"]
        unique_together = [("room", "seq"), ("room", "key")]

    def as_dict(self):
        return {"seq": self.seq, "id": self.key, "text": self.text}
