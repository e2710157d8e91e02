from django.db import migrations, models


def open_a_room(apps, schema_editor):
    apps.get_model("chat", "ChatRoom").objects.create(name="Garden")


ID = models.BigAutoField(
    auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
)


class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel(
            "ChatRoom",
            [
                ("id", ID),
                ("name", models.TextField(max_length=80, unique=True)),
            ],
        ),
        migrations.RunPython(open_a_room, migrations.RunPython.noop),
    ]
