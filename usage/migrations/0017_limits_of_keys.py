from django.db import migrations, models

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [
        ("config", "0001_rate_windows"),
        ("ledger", "0022_payments_that_come_to_nothing"),
        ("usage", "0016_lines_know_whether_they_were_charged"),
    ]
    operations = [
        migrations.AddField(
            "keyspending",
            "next_on",
            models.DateField(
                help_text="The UTC day on which the count begins anew; empty: not counted from there on.", null=True
            ),
        ),
        migrations.AddField(
            "keyspending",
            "next_credits",
            models.DecimalField(
                db_default=0,
                decimal_places=6,
                default=0,
                help_text="Credits debited since then, less refunds.",
                max_digits=24,
            ),
        ),
        sql_file(
            __file__,
            "0017_spending_counted_ahead",
            restores=(
                "0011_key_spending:usage_spending_began",
                "0011_key_spending:usage_key_spent",
                "0011_key_spending:usage_key_left",
                "0011_key_spending:usage_count_key_spending",
            ),
        ),
        sql_file(
            __file__,
            "0017_charges",
            restores=(
                "0011_key_spending:usage_find_customer",
                "0011_metering:usage_log_request",
                "0011_metering:usage_charge",
            ),
        ),
        sql_file(
            __file__,
            "0017_charges_in_batches",
            restores=("0011_metering_in_batches:usage_charge_batch",),
        ),
        sql_file(
            __file__,
            "0017_holds_and_refunds",
            restores=(
                "0011_metering:usage_open_hold",
                "0011_metering:usage_capture_hold",
                "0011_metering:usage_refund",
            ),
        ),
        sql_file(__file__, "0017_requests_of_no_units"),  # backwards it stays as wide: what is logged stays
    ]
