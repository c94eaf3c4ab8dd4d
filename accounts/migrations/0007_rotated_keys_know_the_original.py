import django.db.models.deletion
from django.db import migrations, models

# A key is older than the one that replaces it: its chain is walked back to the one that replaces none.
FIND_ORIGINALS = """
    WITH RECURSIVE chain AS (
        SELECT id, id AS original_id FROM accounts_apikey WHERE replaces_id IS NULL
        UNION ALL
        SELECT k.id, chain.original_id FROM accounts_apikey k JOIN chain ON k.replaces_id = chain.id
    )
    UPDATE accounts_apikey k SET original_id = chain.original_id
    FROM chain WHERE chain.id = k.id AND k.replaces_id IS NOT NULL;
    SET CONSTRAINTS ALL IMMEDIATE;
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_keys_may_have_a_spending_limit")]
    operations = [
        migrations.AddField(
            model_name="apikey",
            name="original",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                editable=False,
                help_text="The first of the keys that rotations put in each other's place; empty: this one is.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.apikey",
            ),
        ),
        migrations.RunSQL(FIND_ORIGINALS, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("original__isnull", True), ("replaces__isnull", True)),
                    models.Q(("original__isnull", False), ("replaces__isnull", False)),
                    _connector="OR",
                ),
                name="a_key_that_replaces_another_knows_the_original",
            ),
        ),
    ]
