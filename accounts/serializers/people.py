"""Requests and responses of `/auth`: people, tokens and keys."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.models import MOST_CALLS_PER_MINUTE, ApiKey, KeyStatus, Scope, User
from accounts.services.keys.api_keys import CUSTOMER_SCOPES, LONGEST_NAME
from accounts.services.keys.own_keys import LONGEST_GRACE
from accounts.services.signing_in.passwords import LONGEST_NEW_PASSWORD, LONGEST_PASSWORD
from config.http.fields import CreditsField, InstantField, TimestampField, WholeNumberField

_LONGEST_TOKEN = 4096
_DAY_SECONDS = 86_400
_MOST_DAYS = 36_500


class PasswordField(serializers.CharField):
    """A password, including blanks at its ends; never part of a response."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", LONGEST_PASSWORD)
        super().__init__(write_only=True, trim_whitespace=False, style={"input_type": "password"}, **kwargs)


class RegistrationSerializer(serializers.Serializer[User]):
    email = serializers.EmailField(max_length=254)
    password = PasswordField(max_length=LONGEST_NEW_PASSWORD)
    full_name = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class RegisteredSerializer(serializers.ModelSerializer[User]):
    user_id = serializers.IntegerField(source="pk")
    full_name = serializers.CharField(help_text="May be empty.")
    created_at = InstantField()

    class Meta:
        model = User
        fields: ClassVar = ["user_id", "email", "full_name", "created_at"]


class LoginSerializer(serializers.Serializer[User]):
    email = serializers.CharField(max_length=254)  # any text: same error as a wrong password
    password = PasswordField()


class TokenPairSerializer(serializers.Serializer[Any]):
    access = serializers.CharField()
    refresh = serializers.CharField()
    token_type = serializers.CharField(help_text="How to send it: `Authorization: Bearer <access>`.")
    expires_in = serializers.IntegerField(source="expires_in_seconds", help_text="Seconds the access token lives.")


class RefreshBodySerializer(serializers.Serializer[Any]):
    """Describe RefreshTokenSerializer in the OpenAPI document, which cannot say that one of two names is required."""

    refresh = serializers.CharField(max_length=_LONGEST_TOKEN, help_text="May be named `refresh_token` instead.")


class RefreshTokenSerializer(serializers.Serializer[Any]):
    """A refresh token, under either of two names."""

    refresh = serializers.CharField(max_length=_LONGEST_TOKEN, required=False)
    refresh_token = serializers.CharField(max_length=_LONGEST_TOKEN, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        token = attrs.get("refresh", attrs.get("refresh_token"))
        if token is None:
            raise serializers.ValidationError({"refresh": [self.fields["refresh"].error_messages["required"]]})
        if attrs.get("refresh_token", token) != token:
            raise serializers.ValidationError({"refresh_token": ["Differs from refresh: send one of them."]})
        return {"refresh": token}


class NewPasswordSerializer(serializers.Serializer[User]):
    """A new password that replaces another."""

    new_password = PasswordField(max_length=LONGEST_NEW_PASSWORD)
    revoke_keys = serializers.BooleanField(
        default=False, help_text="Revoke every API key of the account, too, in case another person had access."
    )


class PasswordChangeSerializer(NewPasswordSerializer):
    current_password = PasswordField()


class PasswordResetSerializer(NewPasswordSerializer):
    token = serializers.CharField(max_length=_LONGEST_TOKEN, help_text="What the mailed link has between its slashes.")


@extend_schema_field({"type": "array", "minItems": 1, "items": {"type": "string", "enum": list(CUSTOMER_SCOPES)}})
class ScopesField(serializers.ListField):
    """Names of scopes; the service validates them."""

    child = serializers.CharField(max_length=32)


class KeyLimitsSerializer(serializers.Serializer[ApiKey]):
    """The limits that a customer may set on a key, for creating and changing one."""

    rate_limit_per_minute = WholeNumberField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MOST_CALLS_PER_MINUTE,
        help_text="Calls a minute that it may make, at most the site's default; null: that default.",
    )
    spending_limit = CreditsField(
        required=False,
        allow_null=True,
        help_text="Credits that may be spent with it until the count starts anew; null: no limit of its own.",
    )
    spending_reset_day = WholeNumberField(
        required=False,
        min_value=1,
        max_value=31,
        help_text="Day of the month (UTC) on which the count starts anew, in a shorter month its last day; at first 1.",
    )


class KeyChangesSerializer(KeyLimitsSerializer):
    """Changes of a key; fields that are not sent stay as they are."""

    name = serializers.CharField(required=False, max_length=LONGEST_NAME, help_text="What you call it.")


class NewKeyRequestSerializer(KeyLimitsSerializer):
    """A key to create; without an expiry it works until it is revoked."""

    name = serializers.CharField(max_length=LONGEST_NAME, help_text="What you call it.")
    scopes = ScopesField(default=[Scope.ACCOUNT_READ.value], max_length=10, help_text="What calls with it may do.")
    expires_at = TimestampField(required=False, allow_null=True, help_text="From then on it is refused.")
    expires_in_days = WholeNumberField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=_MOST_DAYS,
        help_text="Instead of `expires_at`: so many days from now.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("expires_at") is not None and attrs.get("expires_in_days") is not None:
            raise serializers.ValidationError({"expires_in_days": ["Give either expires_at or expires_in_days."]})
        return attrs


class RotationRequestSerializer(serializers.Serializer[ApiKey]):
    """How long the old key keeps working."""

    grace_period_seconds = WholeNumberField(
        default=_DAY_SECONDS,
        min_value=0,
        max_value=int(LONGEST_GRACE.total_seconds()),
        help_text="How long the old key still works, unless it ends earlier by itself. 0: not at all.",
    )


class ApiKeySerializer(serializers.Serializer[ApiKey]):
    """A customer's own key, as `accounts.selectors.keys_of` returns it; its text is not stored."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="The 12 characters behind `tb_live_`.")
    last4 = serializers.CharField(help_text="The key's last four characters.")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=[each.value for each in CUSTOMER_SCOPES]))
    status = serializers.ChoiceField(choices=KeyStatus.choices)
    created_at = InstantField()
    expires_at = InstantField(allow_null=True, help_text="From then on it is refused; null: never.")
    revoked_at = InstantField(allow_null=True)
    last_used_at = InstantField(allow_null=True, help_text="Last accepted call, kept to the minute.")
    rate_limit_per_minute = serializers.IntegerField(
        allow_null=True, help_text="Calls a minute that it may make; null: the site's default."
    )
    spending_limit = CreditsField(
        allow_null=True, help_text="Credits that may be spent with it until the count starts anew; null: no limit."
    )
    spending_reset_day = serializers.IntegerField(
        help_text="Day of the month (UTC) on which the count starts anew; in a shorter month its last day."
    )
    replaces = serializers.IntegerField(
        source="replaces_id", allow_null=True, help_text="Id of the key in whose place a rotation put this one."
    )
    replaced_by = serializers.IntegerField(allow_null=True, help_text="Id of the key that a rotation put in its place.")


class NewApiKeySerializer(ApiKeySerializer):
    """A key that was just created."""

    key = serializers.CharField(help_text="The whole key, shown this once: only its hash is stored.")
