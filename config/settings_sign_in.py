"""Settings of sign-in by pages: second factors, single sign-on, sessions. config/settings.py takes them over."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config import env

_IN_PRODUCTION = env.choice("TOLLBOOK_ENV", "production", ("development", "production")) == "production"
_REQUIRED = "required"

# --- Second factor of staff (docs/staff-sign-in.md) -----------------------------------------------------------
STAFF_MFA = env.choice("STAFF_MFA", _REQUIRED if _IN_PRODUCTION else "optional", (_REQUIRED, "optional"))
STAFF_MFA_REQUIRED = STAFF_MFA == _REQUIRED
# How old a sign-in may be when staff move money or change rights.
STAFF_REAUTH_MINUTES = env.whole_number("STAFF_REAUTH_MINUTES", 10, least=1, most=60)
# Encrypt the secrets of authenticator apps and recovery codes: the first key encrypts, the others still decrypt.
# None: SECRET_KEY does.
SECOND_FACTOR_KEYS = env.words("SECOND_FACTOR_KEYS")
for _key in SECOND_FACTOR_KEYS:
    env.refuse_weak("SECOND_FACTOR_KEYS", _key, least=32)

# --- Single sign-on by OpenID Connect ---------------------------------------------------------------------------
OIDC_ISSUER = env.http_url("OIDC_ISSUER", "").rstrip("/")
OIDC_CLIENT_ID = env.text("OIDC_CLIENT_ID")
OIDC_CLIENT_SECRET = env.text("OIDC_CLIENT_SECRET")
OIDC_NAME = env.text("OIDC_NAME", "single sign-on")  # on the button: Sign in with …
OIDC_SCOPES = env.words("OIDC_SCOPES", ("openid", "email", "profile"))
OIDC_GROUPS_CLAIM = env.text("OIDC_GROUPS_CLAIM", "groups")
OIDC_ROLES = env.pairs("OIDC_ROLES")  # the issuer's group → our role
OIDC_CREATE_STAFF = env.flag("OIDC_CREATE_STAFF", default=False)
OIDC_MFA = env.choice("OIDC_MFA", "claimed", ("claimed", "always", "never"))
OIDC_MFA_VALUES = env.words("OIDC_MFA_VALUES", ("mfa",))  # of the claims amr (RFC 8176) and acr
if OIDC_ISSUER and not (OIDC_CLIENT_ID and OIDC_CLIENT_SECRET):
    raise ImproperlyConfigured("OIDC_ISSUER needs OIDC_CLIENT_ID and OIDC_CLIENT_SECRET.")
if OIDC_ISSUER and _IN_PRODUCTION and not OIDC_ISSUER.startswith("https://"):
    raise ImproperlyConfigured("OIDC_ISSUER must be an https:// URL in production.")
if OIDC_CREATE_STAFF and not OIDC_ROLES:
    raise ImproperlyConfigured("OIDC_CREATE_STAFF needs OIDC_ROLES: otherwise anybody of the issuer becomes staff.")

# --- django-allauth: which of its parts are on (docs/decisions/0050) ---------------------------------------------
ACCOUNT_ADAPTER = "accounts.sign_in.adapters.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_SIGNUP_ENABLED = False
ACCOUNT_EMAIL_VERIFICATION = "none"  # User.email_verified_at says it, and our own links write it
ACCOUNT_RATE_LIMITS = False  # the login guard counts in the database, over all processes (docs/decisions/0008)
ACCOUNT_REAUTHENTICATION_METHODS = ("password", "mfa")
ACCOUNT_REAUTHENTICATION_TIMEOUT = STAFF_REAUTH_MINUTES * 60
ACCOUNT_LOGIN_TIMEOUT = 300  # seconds between the password and the second factor
MFA_ADAPTER = "accounts.sign_in.adapters.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_FORMS = {
    "authenticate": "accounts.sign_in.forms.CodeForm",
    "reauthenticate": "accounts.sign_in.forms.CodeAgainForm",
    "add_webauthn": "accounts.sign_in.forms.AddKeyForm",
    "authenticate_webauthn": "accounts.sign_in.forms.KeyForm",
    "reauthenticate_webauthn": "accounts.sign_in.forms.KeyAgainForm",
}
MFA_RATE_LIMITS = False
MFA_TOTP_ISSUER = "Tollbook"
MFA_TOTP_TOLERANCE = 1  # steps of 30 seconds that a clock may be ahead or behind
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not _IN_PRODUCTION  # http://localhost
SOCIALACCOUNT_ADAPTER = "accounts.sign_in.single_sign_on.SingleSignOnAdapter"
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False  # the adapter finds people itself
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_LOGIN_ON_GET = True  # a form that leads to another host is refused by our form-action
SOCIALACCOUNT_REQUESTS_TIMEOUT = 3
OIDC_PROVIDER_ID = "staff"


def providers(*, issuer: str, name: str, client_id: str, secret: str, scopes: list[str]) -> dict[str, Any]:
    """Return the one issuer as django-allauth reads it."""
    app = {
        "provider_id": OIDC_PROVIDER_ID,
        "name": name,
        "client_id": client_id,
        "secret": secret,
        "settings": {"server_url": issuer, "scope": scopes, "oauth_pkce_enabled": True},
    }
    return {"openid_connect": {"APPS": [app]}}


SOCIALACCOUNT_PROVIDERS = (
    providers(
        issuer=OIDC_ISSUER, name=OIDC_NAME, client_id=OIDC_CLIENT_ID, secret=OIDC_CLIENT_SECRET, scopes=OIDC_SCOPES
    )
    if OIDC_ISSUER
    else {}
)
LOGIN_URL = "account_login"
