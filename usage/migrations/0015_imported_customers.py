import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("usage", "0014_final_slash"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.CreateModel(
            name="ImportedCustomer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("source", models.CharField(help_text="The log's name, given by the operator.", max_length=100)),
                ("value", models.CharField(help_text="The host or user name, in one spelling.", max_length=254)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        help_text="When an import first met it.",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        help_text="The customer.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "name in logs",
                "verbose_name_plural": "names in logs",
                "indexes": [models.Index(fields=["value"], name="names_in_logs")],
                "constraints": [
                    models.UniqueConstraint(fields=("source", "value"), name="a_name_in_a_log_is_one_customer")
                ],
            },
        ),
    ]
