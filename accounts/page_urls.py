"""Pages below /account/: those of django-allauth that are needed, each named here. Nothing of it is included whole.

The customers' portal shares them. Registration, email addresses, lost passwords and connections are not mounted.
"""

from __future__ import annotations

from allauth.account.views import reauthenticate
from allauth.mfa.base.views import AuthenticateView, IndexView
from allauth.mfa.base.views import ReauthenticateView as ReauthenticateByCode
from allauth.mfa.recovery_codes.views import DownloadRecoveryCodesView, GenerateRecoveryCodesView, ViewRecoveryCodesView
from allauth.mfa.webauthn.views import EditWebAuthnView, ListWebAuthnView, ReauthenticateWebAuthnView
from django.urls import URLPattern, path
from django.views.generic import RedirectView

from accounts.pages import single_sign_on
from accounts.pages.limited import limited
from accounts.pages.second_factors import ActivateApp, AddKey, DeactivateApp, RemoveKey
from accounts.pages.sessions import SessionsPage

urlpatterns: list[URLPattern] = [
    path("sign-in/", RedirectView.as_view(pattern_name="admin:login", query_string=True), name="account_login"),
    path("confirm/", limited(reauthenticate), name="account_reauthenticate"),
    path("sessions/", SessionsPage.as_view(), name="account_sessions"),
    path("second-factor/", IndexView.as_view(), name="mfa_index"),
    path("second-factor/sign-in/", limited(AuthenticateView.as_view()), name="mfa_authenticate"),
    path("second-factor/confirm/", limited(ReauthenticateByCode.as_view()), name="mfa_reauthenticate"),
    path("second-factor/app/add/", limited(ActivateApp.as_view()), name="mfa_activate_totp"),
    path("second-factor/app/remove/", DeactivateApp.as_view(), name="mfa_deactivate_totp"),
    path("second-factor/keys/", ListWebAuthnView.as_view(), name="mfa_list_webauthn"),
    path("second-factor/keys/add/", AddKey.as_view(), name="mfa_add_webauthn"),
    path(
        "second-factor/keys/confirm/",
        limited(ReauthenticateWebAuthnView.as_view()),
        name="mfa_reauthenticate_webauthn",
    ),
    path("second-factor/keys/<int:pk>/", EditWebAuthnView.as_view(), name="mfa_edit_webauthn"),
    path("second-factor/keys/<int:pk>/remove/", RemoveKey.as_view(), name="mfa_remove_webauthn"),
    path("second-factor/recovery-codes/", ViewRecoveryCodesView.as_view(), name="mfa_view_recovery_codes"),
    path("second-factor/recovery-codes/new/", GenerateRecoveryCodesView.as_view(), name="mfa_generate_recovery_codes"),
    path(
        "second-factor/recovery-codes/download/",
        DownloadRecoveryCodesView.as_view(),
        name="mfa_download_recovery_codes",
    ),
    path("single-sign-on/<str:provider_id>/", single_sign_on.begin, name="openid_connect_login"),
    path("single-sign-on/<str:provider_id>/callback/", single_sign_on.finish, name="openid_connect_callback"),
    path("single-sign-on/", single_sign_on.again, name="single_sign_on_again"),
    path("single-sign-on-cancelled/", single_sign_on.cancelled, name="socialaccount_login_cancelled"),
]
