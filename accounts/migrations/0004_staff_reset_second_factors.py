from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_actions_of_staff"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="user",
            options={
                "permissions": [
                    ("export_user", "Can export users"),
                    ("change_email", "Can change the email of users"),
                    ("set_password", "Can set the password of users"),
                    ("send_password_reset", "Can send users a link to set a new password"),
                    ("verify_email", "Can verify the email of users by hand"),
                    ("reset_second_factor", "Can remove the second factors of users who have lost them"),
                ]
            },
        ),
    ]
