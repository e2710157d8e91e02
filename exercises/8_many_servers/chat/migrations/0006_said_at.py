import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("chat", "0005_tries"),
    ]

    operations = [
        # What is moved here was said before.
        migrations.AlterField(
            model_name="message",
            name="said_at",
            field=models.DateTimeField(
                default=django.utils.timezone.now, editable=False
            ),
        ),
    ]
