from django.db import migrations, models

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [("usage", "0015_imported_customers")]
    operations = [
        migrations.AddField(
            model_name="importedline",
            name="is_charged",
            field=models.BooleanField(
                help_text="Whether it was recorded by an import that charges; empty: by one that did not say.",
                null=True,
            ),
        ),
        sql_file(
            __file__,
            "0016_lines_know_whether_they_were_charged",
            restores=("0011_metering_in_batches:usage_record_lines",),
        ),
    ]
