from django.db import migrations, models
from django.db.models import CASCADE


class Migration(migrations.Migration):
    dependencies = [("chat", "0002_first_rooms")]

    operations = [
        migrations.CreateModel(
            name="Log",
            fields=[
                (
                    "room",
                    models.OneToOneField(
                        on_delete=CASCADE,
                        primary_key=True,
                        serialize=False,
                        to="chat.chatroom",
                    ),
                ),
                ("epoch", models.CharField(max_length=32)),
                ("last", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="Said",
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
                ("name", models.CharField(max_length=64)),
                ("text", models.TextField()),
                ("at", models.DateTimeField(auto_now_add=True, db_index=True)),
                ("log", models.ForeignKey(on_delete=CASCADE, to="chat.log")),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        "log", "seq", name="a_number_is_given_once"
                    ),
                    models.UniqueConstraint(
                        "log", "name", name="a_message_is_stored_once"
                    ),
                ],
            },
        ),
    ]
