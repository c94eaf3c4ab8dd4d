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
from accounts.pages.limited import View, limited
from accounts.pages.second_factors import ActivateApp, AddKey, DeactivateApp, RemoveKey, ReplaceApp
from accounts.pages.sessions import SessionsPage


def _page(route: str, view: View, name: str) -> URLPattern:
    return path(route, limited(view), name=name)


urlpatterns: list[URLPattern] = [
    _page("sign-in/", RedirectView.as_view(pattern_name="admin:login", query_string=True), name="account_login"),
    _page("confirm/", reauthenticate, name="account_reauthenticate"),
    _page("sessions/", SessionsPage.as_view(), name="account_sessions"),
    _page("second-factor/", IndexView.as_view(), name="mfa_index"),
    _page("second-factor/sign-in/", AuthenticateView.as_view(), name="mfa_authenticate"),
    _page("second-factor/confirm/", ReauthenticateByCode.as_view(), name="mfa_reauthenticate"),
    _page("second-factor/app/add/", ActivateApp.as_view(), name="mfa_activate_totp"),
    _page("second-factor/app/replace/", ReplaceApp.as_view(), name="mfa_replace_totp"),
    _page("second-factor/app/remove/", DeactivateApp.as_view(), name="mfa_deactivate_totp"),
    _page("second-factor/keys/", ListWebAuthnView.as_view(), name="mfa_list_webauthn"),
    _page("second-factor/keys/add/", AddKey.as_view(), name="mfa_add_webauthn"),
    _page(
        "second-factor/keys/confirm/",
        ReauthenticateWebAuthnView.as_view(),
        name="mfa_reauthenticate_webauthn",
    ),
    _page("second-factor/keys/<int:pk>/", EditWebAuthnView.as_view(), name="mfa_edit_webauthn"),
    _page("second-factor/keys/<int:pk>/remove/", RemoveKey.as_view(), name="mfa_remove_webauthn"),
    _page("second-factor/recovery-codes/", ViewRecoveryCodesView.as_view(), name="mfa_view_recovery_codes"),
    _page("second-factor/recovery-codes/new/", GenerateRecoveryCodesView.as_view(), name="mfa_generate_recovery_codes"),
    _page(
        "second-factor/recovery-codes/download/",
        DownloadRecoveryCodesView.as_view(),
        name="mfa_download_recovery_codes",
    ),
    _page("single-sign-on/<str:provider_id>/", single_sign_on.begin, name="openid_connect_login"),
    _page("single-sign-on/<str:provider_id>/callback/", single_sign_on.finish, name="openid_connect_callback"),
    _page("single-sign-on/", single_sign_on.again, name="single_sign_on_again"),
    _page("single-sign-on-cancelled/", single_sign_on.cancelled, name="socialaccount_login_cancelled"),
]
