import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.text
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.CreateModel(
            name="User",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("password", models.CharField(max_length=128, verbose_name="password")),
                ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
                (
                    "is_superuser",
                    models.BooleanField(
                        default=False,
                        help_text="Designates that this user has all permissions without explicitly assigning them.",
                        verbose_name="superuser status",
                    ),
                ),
                (
                    "email",
                    models.EmailField(
                        help_text="Login name, kept as typed and compared without case.", max_length=254, unique=True
                    ),
                ),
                (
                    "full_name",
                    models.CharField(blank=True, help_text="As the person writes it; may be empty.", max_length=200),
                ),
                (
                    "is_active",
                    models.BooleanField(
                        default=True,
                        help_text="Cleared to deactivate: tokens, keys and logins of this person stop at once.",
                    ),
                ),
                ("is_staff", models.BooleanField(default=False, help_text="May sign in to the back office.")),
                (
                    "created_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False, help_text="When the account was made."
                    ),
                ),
                (
                    "groups",
                    models.ManyToManyField(
                        blank=True,
                        help_text="The groups this user belongs to. A user will get all permissions granted to each of their groups.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.group",
                        verbose_name="groups",
                    ),
                ),
                (
                    "user_permissions",
                    models.ManyToManyField(
                        blank=True,
                        help_text="Specific permissions for this user.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.permission",
                        verbose_name="user permissions",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ApiKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="What its owner calls it.", max_length=100)),
                (
                    "prefix",
                    models.CharField(
                        help_text="The 12 public characters behind tb_live_, safe to show and log.",
                        max_length=12,
                        unique=True,
                    ),
                ),
                (
                    "last4",
                    models.CharField(help_text="The key's last four characters, to recognise it by.", max_length=4),
                ),
                ("key_hash", models.BinaryField(help_text="SHA-256 of the whole key.", max_length=32, unique=True)),
                (
                    "scopes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("account:read", "Read the account summary"),
                                ("metering", "Charge, hold and report for any customer (service keys only)"),
                            ],
                            max_length=32,
                        ),
                        help_text="What calls with this key may do.",
                        size=None,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False, help_text="When it was issued."
                    ),
                ),
                (
                    "expires_at",
                    models.DateTimeField(blank=True, help_text="From then on it is refused; empty: never.", null=True),
                ),
                (
                    "revoked_at",
                    models.DateTimeField(blank=True, help_text="When it was withdrawn, for good.", null=True),
                ),
                (
                    "last_used_at",
                    models.DateTimeField(
                        blank=True, editable=False, help_text="Last accepted call, kept to the minute.", null=True
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        help_text="Whose key it is; empty for a service key.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="api_keys",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "API key",
            },
        ),
        migrations.CreateModel(
            name="Plan",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.SlugField(help_text="Stable name in the API, such as 'starter'.", unique=True)),
                ("name", models.CharField(help_text="Name shown to people.", max_length=100)),
                (
                    "credits_per_period",
                    models.DecimalField(decimal_places=6, help_text="Credits that each period brings.", max_digits=15),
                ),
                ("is_active", models.BooleanField(default=True, help_text="Whether new customers may choose it.")),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("credits_per_period__gte", 0)), name="plan_credits_are_not_negative"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Subscription",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("trialing", "Trialing"),
                            ("active", "Active"),
                            ("past_due", "Past due"),
                            ("paused", "Paused"),
                            ("canceled", "Canceled"),
                            ("expired", "Expired"),
                        ],
                        default="active",
                        help_text="Where it stands.",
                        max_length=10,
                    ),
                ),
                (
                    "billing_interval",
                    models.CharField(
                        choices=[("monthly", "Monthly"), ("yearly", "Yearly")],
                        default="monthly",
                        help_text="Length of a period.",
                        max_length=7,
                    ),
                ),
                (
                    "credits_per_period",
                    models.DecimalField(
                        decimal_places=6, help_text="Credits that each period brings to this customer.", max_digits=15
                    ),
                ),
                ("current_period_start", models.DateTimeField(help_text="Start of the running period.")),
                ("current_period_end", models.DateTimeField(help_text="End of the running period, exclusive.")),
                (
                    "next_grant_at",
                    models.DateTimeField(blank=True, help_text="When credits come next; empty: never.", null=True),
                ),
                (
                    "cancel_at_period_end",
                    models.BooleanField(default=False, help_text="Ends by itself when the period does."),
                ),
                ("started_at", models.DateTimeField(help_text="When the customer joined the plan.")),
                ("canceled_at", models.DateTimeField(blank=True, help_text="When it was canceled.", null=True)),
                (
                    "plan",
                    models.ForeignKey(
                        help_text="The plan.", on_delete=django.db.models.deletion.PROTECT, to="accounts.plan"
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        help_text="The customer.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="subscriptions",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.UniqueConstraint(
                django.db.models.functions.text.Lower("email"), name="user_email_is_unique_without_case"
            ),
        ),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("user__isnull", True), models.Q(("scopes__contains", ["metering"]), _negated=True), _connector="OR"
                ),
                name="only_service_keys_may_meter",
            ),
        ),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("user__isnull", False),
                    models.Q(("scopes__contains", ["account:read"]), _negated=True),
                    _connector="OR",
                ),
                name="service_keys_have_no_account_to_read",
            ),
        ),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(condition=models.Q(("scopes__len__gt", 0)), name="api_key_has_a_scope"),
        ),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status__in", ("trialing", "active", "past_due", "paused"))),
                fields=("user",),
                name="one_live_subscription_per_user",
            ),
        ),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.CheckConstraint(
                condition=models.Q(("current_period_end__gt", models.F("current_period_start"))),
                name="subscription_period_has_length",
            ),
        ),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.CheckConstraint(
                condition=models.Q(("credits_per_period__gte", 0)), name="subscription_credits_are_not_negative"
            ),
        ),
    ]
