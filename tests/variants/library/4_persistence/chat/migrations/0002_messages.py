import django.db.models.deletion
from django.db import migrations, models

import chat.models


def a_new_epoch_for_each(apps, schema_editor):
    for room in apps.get_model("chat", "ChatRoom").objects.all():
        room.epoch = chat.models.new_epoch()
        room.save()


class Migration(migrations.Migration):
    dependencies = [("chat", "0001_initial")]

    operations = [
        migrations.AddField(
            "chatroom",
            "epoch",
            models.CharField(
                default=chat.models.new_epoch, editable=False, max_length=20
            ),
        ),
        migrations.AddField(
            "chatroom", "newest", models.BigIntegerField(default=0, editable=False)
        ),
        migrations.RunPython(a_new_epoch_for_each, migrations.RunPython.noop),
        migrations.CreateModel(
            "Message",
            [
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("seq", models.BigIntegerField()),
                ("key", models.CharField(max_length=64)),
                ("text", models.TextField()),
                ("said", models.DateTimeField(auto_now_add=True)),
                (
                    "room",
                    models.ForeignKey(
                        "chat.ChatRoom", on_delete=django.db.models.deletion.CASCADE
                    ),
                ),
            ],
            {
                "ordering": ["seq"],
                "unique_together": {("room", "seq"), ("room", "key")},
            },
        ),
    ]
