from django.db import models


class ChatRoom(models.Model):
    name = models.CharField(max_length=100)
    opened = models.DateTimeField(auto_now_add=True)

    def __str__(self):
        return self.name
