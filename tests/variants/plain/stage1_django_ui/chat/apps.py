from django.apps import AppConfig


class Chat(AppConfig):
    name = "chat"
    default_auto_field = "django.db.models.BigAutoField"
