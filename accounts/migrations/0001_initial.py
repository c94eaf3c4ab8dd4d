import uuid
from decimal import Decimal

import django.contrib.postgres.fields
import django.contrib.postgres.functions
import django.core.validators
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
                (
                    "rate_limit_per_minute",
                    models.IntegerField(
                        blank=True,
                        help_text="Calls a minute that this person may make when signed in; empty: the site's default. Each API key has a limit of its own.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000000000),
                        ],
                    ),
                ),
                (
                    "email_verified_at",
                    models.DateTimeField(
                        editable=False,
                        help_text="When the person showed that they read this address; empty: not yet.",
                        null=True,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        django.db.models.functions.text.Lower("email"), name="user_email_is_unique_without_case"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("rate_limit_per_minute__range", (1, 1000000000))),
                        name="rate_limit_of_an_account_lets_some_call_pass",
                    ),
                ],
                "permissions": [
                    ("export_user", "Can export users"),
                    ("change_email", "Can change the email of users"),
                    ("set_password", "Can set the password of users"),
                    ("send_password_reset", "Can send users a link to set a new password"),
                ],
            },
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
                (
                    "replaces",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        editable=False,
                        help_text="The key in whose place a rotation put this one; empty: none.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.apikey",
                    ),
                ),
                (
                    "rate_limit_per_minute",
                    models.IntegerField(
                        blank=True,
                        help_text="Calls a minute that it may make; empty: the site's default, and for a service key no limit.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000000000),
                        ],
                    ),
                ),
                (
                    "spending_limit",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        help_text="Credits that may be spent with it until the count starts anew; empty: no limit.",
                        max_digits=15,
                        null=True,
                    ),
                ),
                (
                    "spending_reset_day",
                    models.SmallIntegerField(
                        db_default=1,
                        default=1,
                        help_text="Day of the month (UTC) on which the count starts anew; in a shorter month its last day.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(31),
                        ],
                    ),
                ),
                (
                    "original",
                    models.ForeignKey(
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
            ],
            options={
                "verbose_name": "API key",
                "indexes": [
                    models.Index(fields=["user", "-created_at", "-id"], name="keys_of_user_newest_first"),
                    models.Index(
                        condition=models.Q(("revoked_at__isnull", True)), fields=["user"], name="keys_not_revoked"
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("user__isnull", True),
                            models.Q(("scopes__contains", ["metering"]), _negated=True),
                            _connector="OR",
                        ),
                        name="only_service_keys_may_meter",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("user__isnull", False),
                            models.Q(("scopes__contains", ["account:read"]), _negated=True),
                            _connector="OR",
                        ),
                        name="service_keys_have_no_account_to_read",
                    ),
                    models.CheckConstraint(condition=models.Q(("scopes__len__gt", 0)), name="api_key_has_a_scope"),
                    models.UniqueConstraint(fields=("user", "replaces"), name="a_key_is_replaced_once"),
                    models.CheckConstraint(
                        condition=models.Q(("replaces__isnull", True), ("user__isnull", False), _connector="OR"),
                        name="only_customers_keys_are_rotated",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("rate_limit_per_minute__range", (1, 1000000000))),
                        name="rate_limit_of_a_key_lets_some_call_pass",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("spending_limit__gt", 0), ("spending_limit__lte", Decimal("999999999.999999"))
                        ),
                        name="spending_limit_of_a_key_is_positive",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("spending_limit__isnull", True), ("user__isnull", False), _connector="OR"),
                        name="only_customers_keys_have_a_spending_limit",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("spending_reset_day__range", (1, 31))),
                        name="spending_starts_anew_on_a_day_of_the_month",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("original__isnull", True), ("replaces__isnull", True)),
                            models.Q(("original__isnull", False), ("replaces__isnull", False)),
                            _connector="OR",
                        ),
                        name="a_key_that_replaces_another_knows_the_original",
                    ),
                ],
                "permissions": [("issue_service_key", "Can issue keys of the company's own services")],
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
                    models.DecimalField(
                        decimal_places=6, help_text="Credits that each monthly period brings.", max_digits=15
                    ),
                ),
                ("is_active", models.BooleanField(default=True, help_text="Whether new customers may choose it.")),
                (
                    "credits_per_year",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        help_text="Credits that each yearly period brings; empty: it is not sold by the year.",
                        max_digits=15,
                        null=True,
                    ),
                ),
                (
                    "rollover_cap",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        default=Decimal("0"),
                        help_text="Most credits that stay when a period ends with some left: 0 none, empty all.",
                        max_digits=15,
                        null=True,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("credits_per_period__gte", 0)), name="plan_credits_are_not_negative"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("credits_per_year__isnull", True), ("credits_per_year__gte", 0), _connector="OR"),
                            models.Q(("rollover_cap__isnull", True), ("rollover_cap__gte", 0), _connector="OR"),
                        ),
                        name="plan_year_and_rollover_are_not_negative",
                    ),
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
                (
                    "anchor_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="From where its periods are counted; empty: it brings no credits.",
                        null=True,
                    ),
                ),
                (
                    "ends_at",
                    models.DateTimeField(blank=True, help_text="When it ends by itself; empty: never.", null=True),
                ),
                (
                    "months_elapsed",
                    models.PositiveIntegerField(
                        db_default=0, help_text="Months from the anchor to the start of the running period."
                    ),
                ),
                (
                    "paused_at",
                    models.DateTimeField(blank=True, help_text="Since when it is paused; empty: it is not.", null=True),
                ),
                (
                    "pending_credits",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        help_text="Credits of each period from then on.",
                        max_digits=15,
                        null=True,
                    ),
                ),
                (
                    "pending_interval",
                    models.CharField(
                        blank=True,
                        choices=[("monthly", "Monthly"), ("yearly", "Yearly")],
                        help_text="Length of a period from then on.",
                        max_length=7,
                    ),
                ),
                (
                    "pending_plan",
                    models.ForeignKey(
                        blank=True,
                        help_text="The plan from the next period on; empty: the same.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.plan",
                    ),
                ),
                (
                    "pending_rollover_cap",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        help_text="Most credits that stay from then on.",
                        max_digits=15,
                        null=True,
                    ),
                ),
                (
                    "rollover_cap",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        help_text="Most credits that stay when a period of this customer ends with some left: 0 none, empty all.",
                        max_digits=15,
                        null=True,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status__in", ("trialing", "active", "past_due", "paused"))),
                        fields=("user",),
                        name="one_live_subscription_per_user",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("current_period_end__gt", models.F("current_period_start"))),
                        name="subscription_period_has_length",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("credits_per_period__gte", 0)), name="subscription_credits_are_not_negative"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("pending_credits__isnull", True),
                                ("pending_interval", ""),
                                ("pending_plan__isnull", True),
                            ),
                            models.Q(
                                ("pending_credits__gte", 0),
                                ("pending_plan__isnull", False),
                                models.Q(("pending_interval", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="subscription_change_is_whole",
                    ),
                ],
                "permissions": [
                    ("export_subscription", "Can export subscriptions"),
                    ("start_subscription", "Can start subscriptions"),
                    ("change_plan_subscription", "Can change the plan of subscriptions"),
                    ("pause_subscription", "Can pause and resume subscriptions"),
                    ("cancel_subscription", "Can cancel subscriptions"),
                ],
            },
        ),
        migrations.CreateModel(
            name="LoginAttempt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "account",
                    models.CharField(help_text="The email address tried, lower case, known or not.", max_length=254),
                ),
                (
                    "address",
                    models.GenericIPAddressField(
                        blank=True, help_text="Where it came from; of IPv6 the /64 network.", null=True
                    ),
                ),
                ("attempted_at", models.DateTimeField(default=django.utils.timezone.now, help_text="When.")),
                (
                    "device",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="The browser of an earlier sign-in; empty: any other.",
                        max_length=32,
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["account", "attempted_at"], name="attempts_on_account"),
                    models.Index(fields=["address", "attempted_at"], name="attempts_from_address"),
                    models.Index(fields=["attempted_at"], name="attempts_by_age"),
                ],
            },
        ),
        migrations.CreateModel(
            name="TokenFamily",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, help_text="When.")),
                (
                    "expires_at",
                    models.DateTimeField(
                        db_index=True, help_text="When the last of its tokens ends; then it may be purged."
                    ),
                ),
                (
                    "revoked_at",
                    models.DateTimeField(blank=True, help_text="From then on none of its tokens is taken.", null=True),
                ),
                (
                    "user",
                    models.ForeignKey(
                        help_text="Who signed in.",
                        on_delete=django.db.models.deletion.CASCADE,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "token families",
            },
        ),
        migrations.CreateModel(
            name="SpentRefreshToken",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("jti", models.CharField(help_text="The token's own id.", max_length=64)),
                (
                    "spent_at",
                    models.DateTimeField(default=django.utils.timezone.now, help_text="When it was exchanged."),
                ),
                (
                    "expires_at",
                    models.DateTimeField(
                        db_index=True, help_text="When the token would have ended; then this row may be purged."
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        help_text="Whose token it was.",
                        on_delete=django.db.models.deletion.CASCADE,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "family",
                    models.ForeignKey(
                        help_text="The sign-in it came from.",
                        on_delete=django.db.models.deletion.CASCADE,
                        to="accounts.tokenfamily",
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("user", "jti"), name="a_refresh_token_is_spent_once")],
            },
        ),
        migrations.CreateModel(
            name="Notice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "type",
                    models.CharField(
                        help_text="What kind of thing, as a dotted word such as balance.low.", max_length=64
                    ),
                ),
                (
                    "key",
                    models.CharField(
                        help_text="What makes it one of a kind: the same thing is told once.", max_length=255
                    ),
                ),
                (
                    "message_id",
                    models.UUIDField(
                        db_default=django.contrib.postgres.functions.RandomUUID(),
                        editable=False,
                        help_text="Its name in webhooks, the same at every attempt.",
                    ),
                ),
                ("data", models.JSONField(help_text="The particulars, as webhooks carry them.")),
                (
                    "subject",
                    models.CharField(help_text="Subject of the email; empty: no email.", max_length=200, null=True),
                ),
                ("body", models.TextField(help_text="Text of the email.", null=True)),
                ("created_at", models.DateTimeField(help_text="When it happened.")),
                (
                    "email_due_at",
                    models.DateTimeField(help_text="When the email is to be sent or tried again.", null=True),
                ),
                (
                    "email_tries",
                    models.SmallIntegerField(db_default=0, default=0, help_text="How often sending it was begun."),
                ),
                ("emailed_at", models.DateTimeField(help_text="When the mail server took the email.", null=True)),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        help_text="Who is told.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="notices",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "email_to",
                    models.EmailField(
                        help_text="Where the email goes; empty: to the address that the account has by then.",
                        max_length=254,
                        null=True,
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("email_due_at__isnull", False)),
                        fields=["email_due_at"],
                        name="notices_to_email",
                    ),
                    models.Index(fields=["user", "id"], name="notices_of_user"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("user", "type", "key"), name="a_thing_is_told_once"),
                    models.CheckConstraint(
                        condition=models.Q(("type__regex", "^[a-z_]+(\\.[a-z_]+)+$")),
                        name="notice_type_is_a_dotted_word",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("body__isnull", True),
                                ("email_due_at__isnull", True),
                                ("emailed_at__isnull", True),
                                ("subject__isnull", True),
                            ),
                            models.Q(("body__isnull", False), ("subject__isnull", False)),
                            _connector="OR",
                        ),
                        name="only_a_notice_with_a_text_is_emailed",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("email_due_at__isnull", True), ("emailed_at__isnull", True), _connector="OR"
                        ),
                        name="an_email_that_was_sent_is_not_due",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="WebhookEndpoint",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("url", models.CharField(help_text="Where notices are posted to.", max_length=2048)),
                (
                    "description",
                    models.CharField(blank=True, help_text="What its owner calls it; may be empty.", max_length=200),
                ),
                (
                    "event_types",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64),
                        blank=True,
                        default=list,
                        help_text="Types it is told; empty: all.",
                        size=None,
                    ),
                ),
                (
                    "secret",
                    models.CharField(
                        help_text="What signs each message, as whsec_… (Standard Webhooks).", max_length=100
                    ),
                ),
                (
                    "old_secret",
                    models.CharField(
                        help_text="The one before, which signs as well for a day after the change.",
                        max_length=100,
                        null=True,
                    ),
                ),
                (
                    "old_secret_until",
                    models.DateTimeField(help_text="Until when the one before signs as well.", null=True),
                ),
                ("is_active", models.BooleanField(default=True, help_text="Whether it is told anything.")),
                ("disabled_at", models.DateTimeField(help_text="When it was turned off; empty: it is on.", null=True)),
                (
                    "disabled_reason",
                    models.CharField(
                        choices=[
                            ("customer", "The customer turned it off"),
                            ("failing", "Nothing could be delivered for five days"),
                            ("gone", "It answered 410 Gone"),
                        ],
                        help_text="Why it was turned off.",
                        max_length=10,
                        null=True,
                    ),
                ),
                (
                    "failing_since",
                    models.DateTimeField(
                        help_text="When the first attempt failed of those since the last that did not.", null=True
                    ),
                ),
                ("created_at", models.DateTimeField(help_text="When it was made.")),
                (
                    "deleted_at",
                    models.DateTimeField(
                        help_text="When its owner deleted it; it goes with its deliveries.", null=True
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        help_text="Whose it is.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="webhook_endpoints",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["user", "id"], name="endpoints_of_user"),
                    models.Index(condition=models.Q(("is_active", True)), fields=["id"], name="endpoints_that_are_on"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("disabled_at__isnull", True), ("disabled_reason__isnull", True), ("is_active", True)
                            ),
                            models.Q(
                                ("disabled_at__isnull", False),
                                ("disabled_reason__in", ["customer", "failing", "gone"]),
                                ("is_active", False),
                            ),
                            _connector="OR",
                        ),
                        name="an_endpoint_that_is_off_says_since_when_and_why",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("deleted_at__isnull", True), ("is_active", False), _connector="OR"),
                        name="a_deleted_endpoint_is_off",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("old_secret__isnull", True), ("old_secret_until__isnull", True)),
                            models.Q(("old_secret__isnull", False), ("old_secret_until__isnull", False)),
                            _connector="OR",
                        ),
                        name="an_old_secret_ends",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="WebhookDelivery",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "state",
                    models.CharField(
                        choices=[("pending", "Pending"), ("delivered", "Delivered"), ("failed", "Failed")],
                        default="pending",
                        help_text="Where it stands.",
                        max_length=10,
                    ),
                ),
                ("attempts", models.IntegerField(default=0, help_text="How often it was tried in all.")),
                (
                    "failures",
                    models.SmallIntegerField(
                        default=0, help_text="Failed attempts since it was last sent, or sent again."
                    ),
                ),
                ("due_since", models.DateTimeField(help_text="When it was last sent, or sent again by somebody.")),
                (
                    "next_attempt_at",
                    models.DateTimeField(help_text="When it is tried next; empty: not any more.", null=True),
                ),
                (
                    "claim",
                    models.UUIDField(
                        help_text="The worker that attempts it now; if it is not heard of, another makes the next attempt.",
                        null=True,
                    ),
                ),
                (
                    "last_status",
                    models.IntegerField(help_text="HTTP status of the last answer; empty: none came.", null=True),
                ),
                ("last_error", models.CharField(help_text="Why the last attempt failed.", max_length=200, null=True)),
                ("created_at", models.DateTimeField(help_text="When it was to be delivered first.")),
                ("delivered_at", models.DateTimeField(help_text="When the endpoint last took it.", null=True)),
                (
                    "notice",
                    models.ForeignKey(
                        help_text="What.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="deliveries",
                        to="accounts.notice",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        help_text="The endpoint's owner.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "endpoint",
                    models.ForeignKey(
                        db_index=False,
                        help_text="Where to.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="deliveries",
                        to="accounts.webhookendpoint",
                    ),
                ),
                (
                    "resent_at",
                    models.DateTimeField(help_text="When its owner last had it sent again; empty: never.", null=True),
                ),
            ],
            options={
                "verbose_name_plural": "webhook deliveries",
                "permissions": [("resend_webhookdelivery", "Can send a webhook delivery again")],
                "indexes": [
                    models.Index(fields=["endpoint", "id"], name="deliveries_of_endpoint"),
                    models.Index(fields=["created_at"], name="deliveries_by_age"),
                    models.Index(
                        condition=models.Q(("state", "pending")),
                        fields=["next_attempt_at", "endpoint"],
                        name="deliveries_by_next_attempt",
                    ),
                    models.Index(
                        condition=models.Q(("resent_at__isnull", False)),
                        fields=["user", "resent_at"],
                        name="deliveries_sent_again",
                    ),
                    models.Index(
                        condition=models.Q(("state", "failed")), fields=["created_at"], name="deliveries_given_up"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("user", "endpoint", "notice"), name="an_endpoint_is_told_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("next_attempt_at__isnull", False), ("state", "pending")),
                            models.Q(
                                ("claim__isnull", True),
                                ("next_attempt_at__isnull", True),
                                ("state__in", ["delivered", "failed"]),
                            ),
                            _connector="OR",
                        ),
                        name="a_pending_delivery_has_a_next_attempt",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="WebhookAttempt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(help_text="When it began.")),
                ("url", models.CharField(help_text="Where it went.", max_length=2048)),
                ("status", models.IntegerField(help_text="HTTP status of the answer; empty: none came.", null=True)),
                ("error", models.CharField(help_text="Why it failed; empty: it did not.", max_length=200, null=True)),
                ("milliseconds", models.IntegerField(help_text="How long it took.")),
                ("answer", models.TextField(blank=True, help_text="The first kibibyte of the answer.")),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        help_text="The endpoint's owner.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "delivery",
                    models.ForeignKey(
                        help_text="What was tried.",
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="log",
                        to="accounts.webhookdelivery",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("status__isnull", False), ("error__isnull", False), _connector="OR"),
                        name="an_attempt_has_an_outcome",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SignInPlace",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("address", models.GenericIPAddressField(help_text="From where; of IPv6 the /64 network.")),
                ("last_used_at", models.DateTimeField(help_text="When last, kept to the day.")),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        help_text="Who.",
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["last_used_at"], name="places_by_age")],
                "constraints": [models.UniqueConstraint(fields=("user", "address"), name="a_place_is_remembered_once")],
            },
        ),
    ]
