from django.db import models


class ChatRoom(models.Model):
    name = models.CharField(max_length=60)
    topic = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["name", "pk"]

    def __str__(self):
        return self.name


class Log(models.Model):
    """The log of a room: its name, and the last number that was given out."""

    room = models.OneToOneField(ChatRoom, models.CASCADE, primary_key=True)
    epoch = models.CharField(max_length=32)
    last = models.BigIntegerField(default=0)


class Said(models.Model):
    log = models.ForeignKey(Log, models.CASCADE)
    seq = models.BigIntegerField()
    name = models.CharField(max_length=64)
    text = models.TextField()
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint("log", "seq", name="a_number_is_given_once"),
            models.UniqueConstraint("log", "name", name="a_message_is_stored_once"),
        ]

    def message(self):
        """As it travels."""
        return {"seq": self.seq, "id": self.name, "text": self.text}
