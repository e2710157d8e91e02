from django.db import migrations

NAMES = ["Kitchen", "Lobby", "Workshop"]


def add_rooms(apps, schema_editor):
    # A migration runs once, so a room that you delete stays deleted.
    ChatRoom = apps.get_model("chat", "ChatRoom")
    ChatRoom.objects.bulk_create(ChatRoom(name=name) for name in NAMES)


class Migration(migrations.Migration):
    dependencies = [("chat", "0001_initial")]

    operations = [migrations.RunPython(add_rooms, migrations.RunPython.noop)]
