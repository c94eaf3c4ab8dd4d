"""Register, sign in, refresh, sign out, and change or reset the password."""

from __future__ import annotations

from functools import partial
from typing import cast

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.errors import TooManyRegistrations
from accounts.models import User
from accounts.serializers.people import (
    LoginSerializer,
    PasswordChangeSerializer,
    PasswordResetSerializer,
    RefreshBodySerializer,
    RefreshTokenSerializer,
    RegisteredSerializer,
    RegistrationSerializer,
    TokenPairSerializer,
)
from accounts.services.signing_in import password_reset, passwords, registration, sessions
from config.http.bodies import validated
from config.http.client_address import client_address
from config.http.refusals import ErrorSerializer, FieldErrorsSerializer
from config.http.throttling import count_separately


class PublicView(APIView):
    """A view without authentication; credentials that are sent are ignored."""

    authentication_classes = ()
    permission_classes = (AllowAny,)


class RegisterView(PublicView):
    @extend_schema(
        operation_id="register",
        summary="Create an account",
        tags=["auth"],
        auth=[],
        request=RegistrationSerializer,
        responses={
            201: RegisteredSerializer,
            400: FieldErrorsSerializer,
            403: ErrorSerializer,
            429: ErrorSerializer,
            503: ErrorSerializer,
        },
    )
    def post(self, request: Request) -> Response:
        asked = validated(RegistrationSerializer, request.data)
        user = registration.register(**asked, admit=partial(_count_registration, request))
        return Response(RegisteredSerializer(user).data, status=status.HTTP_201_CREATED)


def _count_registration(request: Request) -> None:
    count = count_separately(request, "register", settings.REGISTRATIONS_PER_ADDRESS)
    if not count.allowed:
        raise TooManyRegistrations(retry_after_seconds=count.reset_seconds)


class LoginView(PublicView):
    @extend_schema(
        operation_id="login",
        summary="Sign in",
        description="The same 401 for an unknown email, a wrong password and a deactivated account.",
        tags=["auth"],
        auth=[],
        request=LoginSerializer,
        responses={200: TokenPairSerializer, 400: FieldErrorsSerializer, 401: ErrorSerializer, 429: ErrorSerializer},
    )
    def post(self, request: Request) -> Response:
        asked = validated(LoginSerializer, request.data)
        pair = sessions.sign_in(**asked, address=client_address(request), now=timezone.now())
        return Response(TokenPairSerializer(pair).data)


class RefreshView(PublicView):
    @extend_schema(
        operation_id="refresh",
        summary="Exchange a refresh token for a new pair",
        description="Each refresh token is good for one exchange; reuse of a spent one ends the whole sign-in.",
        tags=["auth"],
        auth=[],
        request=RefreshBodySerializer,
        responses={200: TokenPairSerializer, 400: FieldErrorsSerializer, 401: ErrorSerializer, 429: ErrorSerializer},
    )
    def post(self, request: Request) -> Response:
        asked = validated(RefreshTokenSerializer, request.data)
        pair = sessions.refresh(refresh_token=asked["refresh"], now=timezone.now())
        return Response(TokenPairSerializer(pair).data)


class LogoutView(PublicView):
    @extend_schema(
        operation_id="logout",
        summary="Sign out",
        description="Every token of this sign-in stops working, access tokens included. May be repeated.",
        tags=["auth"],
        auth=[],
        request=RefreshBodySerializer,
        responses={204: None, 400: FieldErrorsSerializer, 401: ErrorSerializer, 429: ErrorSerializer},
    )
    def post(self, request: Request) -> Response:
        asked = validated(RefreshTokenSerializer, request.data)
        sessions.sign_out(refresh_token=asked["refresh"], now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


class PasswordView(APIView):
    @extend_schema(
        operation_id="change_password",
        summary="Change the password",
        description="Every token of the account stops working, the one of this call too; the person is told by email.",
        tags=["auth"],
        request=PasswordChangeSerializer,
        responses={204: None, 400: FieldErrorsSerializer, 401: ErrorSerializer, 429: ErrorSerializer},
    )
    def post(self, request: Request) -> Response:
        asked = validated(PasswordChangeSerializer, request.data)
        passwords.change_password(
            user=cast(User, request.user),
            current=asked["current_password"],
            new=asked["new_password"],
            revoke_keys=asked["revoke_keys"],
            address=client_address(request),
            now=timezone.now(),
        )
        return Response(status=status.HTTP_204_NO_CONTENT)


class PasswordResetView(PublicView):
    @extend_schema(
        operation_id="confirm_password_reset",
        summary="Set a new password by an emailed link",
        description="The token is good for one use within an hour. Every token of the account stops working.",
        tags=["auth"],
        auth=[],
        request=PasswordResetSerializer,
        responses={204: None, 400: FieldErrorsSerializer, 401: ErrorSerializer, 429: ErrorSerializer},
    )
    def post(self, request: Request) -> Response:
        asked = validated(PasswordResetSerializer, request.data)
        password_reset.reset_password(
            token=asked["token"],
            new=asked["new_password"],
            revoke_keys=asked["revoke_keys"],
            now=timezone.now(),
        )
        return Response(status=status.HTTP_204_NO_CONTENT)
