from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="RateWindow",
            fields=[
                (
                    "subject",
                    models.CharField(
                        help_text="Whose calls: key:<id>, user:<id> or address:<address>.",
                        max_length=100,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("minute", models.BigIntegerField(help_text="Which minute since 1970, by the database's clock.")),
                (
                    "taken",
                    models.IntegerField(
                        help_text="Calls leased in that minute; may exceed the limit by refused leases."
                    ),
                ),
            ],
        ),
        # Counts of a minute: what a crash loses is not missed.
        migrations.RunSQL(
            sql="ALTER TABLE config_ratewindow SET UNLOGGED",
            reverse_sql="ALTER TABLE config_ratewindow SET LOGGED",
        ),
    ]
