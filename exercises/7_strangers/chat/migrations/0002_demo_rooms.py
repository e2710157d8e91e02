from django.db import migrations

NAMES = ["Kitchen", "Lobby", "Workshop"]


def add_rooms(apps, schema_editor):
    # A migration runs once, so a room that you delete stays deleted.
    ChatRoom = apps.get_model("chat", "ChatRoom")
    for name in NAMES:
        ChatRoom.objects.get_or_create(name=name)


class Migration(migrations.Migration):
    dependencies = [("chat", "0001_initial")]

    operations = [migrations.RunPython(add_rooms, migrations.RunPython.noop)]
