from django.db import migrations

NAMES = ["Kitchen", "Lobby", "Workshop"]


def forwards(apps, schema_editor):
    rooms = apps.get_model("chat", "ChatRoom").objects
    for name in NAMES:
        rooms.create(name=name)


class Migration(migrations.Migration):
    dependencies = [("chat", "0001_initial")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
