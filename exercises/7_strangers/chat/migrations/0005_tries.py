from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("chat", "0004_names"),
    ]

    operations = [
        migrations.CreateModel(
            name="Tries",
            fields=[
                (
                    "key",
                    models.CharField(max_length=64, primary_key=True, serialize=False),
                ),
                ("all_back", models.FloatField(db_index=True)),
            ],
        ),
    ]
