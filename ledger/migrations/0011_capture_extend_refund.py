import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from config.db.migrations import sql_file

HOLDS_OF_NOTHING = """
    ALTER TABLE ledger_hold DROP CONSTRAINT hold_captures_at_most_what_it_holds;
    ALTER TABLE ledger_hold ADD CONSTRAINT hold_captures_at_most_what_it_holds
        CHECK (credits >= 0 AND captured >= 0 AND captured <= credits);
"""
# What was held stays on record: only new holds, and changes of old ones, must hold something again.
NO_NEW_HOLDS_OF_NOTHING = """
    UPDATE ledger_hold SET status = 'released', settled_at = clock_timestamp() WHERE status = 'open' AND credits = 0;
    SET CONSTRAINTS ALL IMMEDIATE;
    ALTER TABLE ledger_hold DROP CONSTRAINT hold_captures_at_most_what_it_holds;
    ALTER TABLE ledger_hold ADD CONSTRAINT hold_captures_at_most_what_it_holds
        CHECK (credits > 0 AND captured >= 0 AND captured <= credits) NOT VALID;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_what_staff_may_export_and_issue"),
        ("ledger", "0010_finding_entries_by_time_and_reason"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="hold",
            name="api_key",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                help_text="The customer's key that it was opened by, when known.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.apikey",
            ),
        ),
        migrations.AddField(
            model_name="hold",
            name="purpose",
            field=models.JSONField(
                help_text="What metering finds again at the capture: endpoint, units, method.", null=True
            ),
        ),
        migrations.AddIndex(
            model_name="entry",
            index=models.Index(
                condition=models.Q(("reverses__isnull", False)),
                fields=["reverses"],
                name="entries_by_what_they_reverse",
            ),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(HOLDS_OF_NOTHING, NO_NEW_HOLDS_OF_NOTHING)],
            state_operations=[
                migrations.RemoveConstraint(model_name="hold", name="hold_captures_at_most_what_it_holds"),
                migrations.AddConstraint(
                    model_name="hold",
                    constraint=models.CheckConstraint(
                        condition=models.Q(
                            ("credits__gte", 0), ("captured__gte", 0), ("captured__lte", models.F("credits"))
                        ),
                        name="hold_captures_at_most_what_it_holds",
                    ),
                ),
            ],
        ),
        sql_file(
            __file__,
            "0011_capture_extend_refund",
            restores=(
                "0003_move:ledger_move",
                "0004_doors:ledger_hold_outcome",
                "0004_doors:ledger_open_hold",
                "0004_doors:ledger_release_hold",
            ),
        ),
    ]
