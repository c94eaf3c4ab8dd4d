from django.db import migrations, models

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [
        ("ledger", "0020_disputes_end_auto_reload"),
    ]

    operations = [
        migrations.AddField(
            model_name="grant",
            name="ran_out_seq",
            field=models.BigIntegerField(
                help_text="Place of the last entry made before its time had come; empty: it has not.", null=True
            ),
        ),
        migrations.AddIndex(
            model_name="grant",
            index=models.Index(
                models.F("user"),
                models.F("priority"),
                models.F("expires_at"),
                models.OrderBy(models.F("category"), descending=True),
                models.F("effective_at"),
                models.F("entry"),
                condition=models.Q(("remaining__gt", 0)),
                name="grants_in_order_of_spending",
            ),
        ),
        migrations.AddIndex(
            model_name="grant",
            index=models.Index(
                condition=models.Q(("expires_at__isnull", False), ("remaining__gt", 0)),
                fields=["user", "expires_at"],
                name="grants_left_by_expiry",
            ),
        ),
        sql_file(__file__, "0021_burning_grants_down"),
        sql_file(
            __file__,
            "0021_settling_grants",
            restores=("0018_lots_of_subscriptions:ledger_lapsed", "0018_lots_of_subscriptions:ledger_settle_expired"),
        ),
        sql_file(
            __file__,
            "0021_what_comes_in_is_settled",
            restores=(
                "0015_grants:ledger_lot",
                "0015_grants:ledger_lot_draw",
                "0015_grants:ledger_reckoning",
                "0015_grants:ledger_shares",
                "0018_lots_of_subscriptions:ledger_reckon",
                "0015_grants:ledger_note_reckoning",
                "0015_grants_that_expire:ledger_settle_grants",
                "0015_grants_that_expire:ledger_refund",
                "0014_payments:ledger_settle_reversals",
                "0011_capture_extend_refund:ledger_release_hold",
                "0011_capture_extend_refund:ledger_capture_hold",
            ),
        ),
    ]
