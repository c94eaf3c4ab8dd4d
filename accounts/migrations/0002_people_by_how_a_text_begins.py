from django.contrib.postgres.indexes import OpClass
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models.functions import Lower, Reverse

_REVERSED_LAST_WORD = models.Func(
    Reverse("full_name"),
    models.Value(" "),
    models.Value(1),
    function="split_part",
    output_field=models.TextField(),
)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("accounts", "0001_initial")]
    operations = [
        AddIndexConcurrently(
            model_name="user",
            index=models.Index(OpClass(Lower("email"), "text_pattern_ops"), name="users_by_start_of_email"),
        ),
        AddIndexConcurrently(
            model_name="user",
            index=models.Index(OpClass(Lower("full_name"), "text_pattern_ops"), name="users_by_start_of_name"),
        ),
        AddIndexConcurrently(
            model_name="user",
            index=models.Index(
                OpClass(Lower(Reverse(_REVERSED_LAST_WORD)), "text_pattern_ops"), name="users_by_last_word_of_name"
            ),
        ),
    ]
