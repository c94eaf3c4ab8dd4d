"""What `/auth` takes and gives."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers

from accounts.models import User
from accounts.services.passwords import LONGEST_NEW_PASSWORD, LONGEST_PASSWORD
from config.http.fields import InstantField

_LONGEST_TOKEN = 4096


class PasswordField(serializers.CharField):
    """A password, blanks at its ends included; never part of an answer."""

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
    email = serializers.CharField(max_length=254)  # whatever it is: what nobody has is answered like a wrong password
    password = PasswordField()


class TokenPairSerializer(serializers.Serializer[Any]):
    access = serializers.CharField()
    refresh = serializers.CharField()
    token_type = serializers.CharField(help_text="How to send it: `Authorization: Bearer <access>`.")
    expires_in = serializers.IntegerField(source="expires_in_seconds", help_text="Seconds the access token lives.")


class RefreshBodySerializer(serializers.Serializer[Any]):
    """What the API's document shows for RefreshTokenSerializer: it cannot say that one of two names is required."""

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


class PasswordChangeSerializer(serializers.Serializer[User]):
    current_password = PasswordField()
    new_password = PasswordField(max_length=LONGEST_NEW_PASSWORD)


class ErrorSerializer(serializers.Serializer[Any]):
    """The shape of every refusal."""

    detail = serializers.CharField(help_text="A sentence for people.")
    code = serializers.CharField(help_text="A stable name for programs.")


class FieldErrorsSerializer(ErrorSerializer):
    """A refusal of what was given for some fields."""

    errors = serializers.DictField(  # type: ignore[assignment]  # shadows a property of Serializer, as the contract names it
        child=serializers.ListField(child=serializers.CharField()), required=False
    )
