from decimal import Decimal

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_keys_and_accounts_may_have_a_rate_of_their_own")]
    operations = [
        migrations.AddField(
            model_name="apikey",
            name="spending_limit",
            field=models.DecimalField(
                blank=True,
                decimal_places=6,
                help_text="Credits that may be spent with it until the count starts anew; empty: no limit.",
                max_digits=15,
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="spending_reset_day",
            field=models.SmallIntegerField(
                db_default=1,
                default=1,
                help_text="Day of the month (UTC) on which the count starts anew; in a shorter month its last day.",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(31),
                ],
            ),
        ),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(("spending_limit__gt", 0), ("spending_limit__lte", Decimal("999999999.999999"))),
                name="spending_limit_of_a_key_is_positive",
            ),
        ),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(("spending_limit__isnull", True), ("user__isnull", False), _connector="OR"),
                name="only_customers_keys_have_a_spending_limit",
            ),
        ),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(("spending_reset_day__range", (1, 31))),
                name="spending_starts_anew_on_a_day_of_the_month",
            ),
        ),
    ]
