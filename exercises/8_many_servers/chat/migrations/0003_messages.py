import django.db.models.deletion
from django.db import migrations, models

import chat.models


def give_epochs(apps, schema_editor):
    # A default is asked once for all rows that are there, and each room needs its own.
    for room in apps.get_model("chat", "ChatRoom").objects.all():
        room.epoch = chat.models.new_epoch()
        room.save()


class Migration(migrations.Migration):
    dependencies = [("chat", "0002_demo_rooms")]

    operations = [
        migrations.AddField(
            model_name="chatroom",
            name="epoch",
            field=models.CharField(
                default=chat.models.new_epoch, editable=False, max_length=8
            ),
        ),
        migrations.AddField(
            model_name="chatroom",
            name="last_seq",
            field=models.BigIntegerField(default=0, editable=False),
        ),
        migrations.RunPython(give_epochs, migrations.RunPython.noop),
        migrations.CreateModel(
            name="Message",
            fields=[
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
                ("client_id", models.CharField(max_length=64)),
                ("text", models.TextField()),
                ("said_at", models.DateTimeField(auto_now_add=True)),
                (
                    "room",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="messages",
                        to="chat.chatroom",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("room", "seq"), name="one_seq"),
                    models.UniqueConstraint(
                        fields=("room", "client_id"), name="said_once"
                    ),
                ],
            },
        ),
    ]
