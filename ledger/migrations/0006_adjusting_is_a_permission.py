from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("ledger", "0005_correct_drift")]
    operations = [
        migrations.AlterModelOptions(
            name="entry",
            options={
                "permissions": [("adjust_credits", "Can adjust a customer's credits by hand")],
                "verbose_name_plural": "entries",
            },
        ),
    ]
