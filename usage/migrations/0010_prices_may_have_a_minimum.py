from decimal import Decimal

from django.db import migrations, models

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [("usage", "0009_finding_requests_by_time_and_outcome")]
    operations = [
        migrations.AddField(
            model_name="price",
            name="minimum",
            field=models.DecimalField(
                blank=True,
                db_default=Decimal(0),
                decimal_places=6,
                default=Decimal(0),
                help_text="The least that a request costs, in credits, unless how it ended makes it free; 0: no least.",
                max_digits=15,
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(("minimum__gte", 0)), name="minimum_of_a_price_is_not_negative"
            ),
        ),
        sql_file(__file__, "0010_prices_may_have_a_minimum"),
    ]
