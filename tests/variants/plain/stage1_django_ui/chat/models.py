from django.db import models


class ChatRoom(models.Model):
    name = models.TextField(max_length=80, unique=True)

    def __str__(self):
        return self.name
