from django.db import models
from django.urls import reverse


class ChatRoom(models.Model):
    name = models.CharField(max_length=200)

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name

    def get_absolute_url(self):
        return reverse("chat_room", args=[self.pk])
