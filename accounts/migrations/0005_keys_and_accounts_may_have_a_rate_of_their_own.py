import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_what_staff_may_export_and_issue")]
    operations = [
        migrations.AddField(
            model_name="apikey",
            name="rate_limit_per_minute",
            field=models.IntegerField(
                blank=True,
                help_text="Calls a minute that it may make; empty: the site's default, and for a service key no limit.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(1000000000),
                ],
            ),
        ),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(("rate_limit_per_minute__range", (1, 1000000000))),
                name="rate_limit_of_a_key_lets_some_call_pass",
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="rate_limit_per_minute",
            field=models.IntegerField(
                blank=True,
                help_text="Calls a minute that this person may make when signed in; empty: the site's default. Each API key has a limit of its own.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(1000000000),
                ],
            ),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=models.Q(("rate_limit_per_minute__range", (1, 1000000000))),
                name="rate_limit_of_an_account_lets_some_call_pass",
            ),
        ),
    ]
