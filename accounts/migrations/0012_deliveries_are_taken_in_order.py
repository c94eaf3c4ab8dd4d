from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0011_subscriptions_bring_credits"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="webhookdelivery",
            name="deliveries_that_are_due",
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(
                condition=models.Q(("state", "pending")),
                fields=["next_attempt_at", "endpoint"],
                name="deliveries_by_next_attempt",
            ),
        ),
    ]
