from django.contrib.admin import site

from .models import ChatRoom

site.register(ChatRoom, list_display=["name", "opened"])
