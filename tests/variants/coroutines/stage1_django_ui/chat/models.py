from django.db import models


class ChatRoom(models.Model):
    name = models.CharField(max_length=60)
    topic = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["name", "pk"]

    def __str__(self):
        return self.name
