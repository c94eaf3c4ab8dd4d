"""People in the back office: found, created, changed; staff cannot grant themselves rights."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.urls import reverse

from accounts.models import User
from accounts.services.signing_in.passwords import check_credentials
from tests.accounts.conftest import NOW
from tests.backoffice import list_of, page_of, rows_of, signed_in, staff_with, superuser
from tests.factories import PASSWORD, ApiKeyFactory, StaffFactory, UserFactory

pytestmark = pytest.mark.django_db
LIST = "/admin/accounts/user/"
MANAGING = (
    "accounts.view_user", "accounts.add_user", "accounts.change_user", "accounts.delete_user",
    "accounts.change_email", "accounts.set_password",
)  # fmt: skip


def person_form(user, **changed):
    fields = {"email": user.email, "full_name": user.full_name, "is_active": "on" if user.is_active else ""}
    return {name: value for name, value in {**fields, **changed}.items() if value != ""}


def search(client, term):
    """Search as the form does: by POST, then follow the redirect."""
    return client.post(LIST, {"q": term}, follow=True)


@pytest.fixture
def client():
    return signed_in(staff_with(*MANAGING))


# --- Searching -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "term",
    ["alice@example.com", "ALICE@EXAMPLE.COM", "alice", "Liddell", "alice liddell", "{id}", "{prefix}",
     "tb_live_{prefix}", "{key}", " {key} "],
)  # fmt: skip
def test_a_person_is_found_by(client, term):
    alice = UserFactory(email="Alice@example.com", full_name="Alice Liddell")
    ApiKeyFactory(user=UserFactory(email="bob@example.com", full_name="Bob"))
    issued = ApiKeyFactory(user=alice)

    answer = search(client, term.format(id=alice.pk, prefix=issued.api_key.prefix, key=issued.raw))

    assert rows_of(answer) == [alice]


def test_a_pasted_key_never_stands_in_an_address_or_on_the_page(client):
    issued = ApiKeyFactory()

    answers = [search(client, issued.raw), client.get(LIST, {"q": issued.raw}, follow=True)]

    for answer in answers:
        assert answer.redirect_chain == [(f"{LIST}?q=tb_live_{issued.api_key.prefix}", 302)]
        assert issued.raw not in answer.content.decode()
        assert "No key of this site" not in answer.content.decode()


@pytest.mark.parametrize("change", [lambda key: key[:-1], lambda key: key + "x", lambda key: key[:40] + "é\0"])
def test_a_mistyped_key_is_reported_as_no_key(client, change):
    issued = ApiKeyFactory()

    answer = search(client, change(issued.raw))

    assert "No key of this site is exactly the one pasted" in answer.content.decode()
    assert rows_of(answer) == [issued.api_key.user]


def test_a_search_keeps_the_filters(client):
    UserFactory(email="a1@example.com", is_active=False)
    wanted = UserFactory(email="a2@example.com")

    answer = client.post(LIST, {"q": "example.com", "is_active__exact": "1", "is_staff__exact": "0"}, follow=True)

    assert rows_of(answer) == [wanted]


@pytest.mark.parametrize("term", ["\0", "tb_live_", "tb_live_\0", "9" * 40, "'\"", "é" * 3000])
def test_no_search_is_a_server_error(client, term):
    assert search(client, term).status_code == 200


def test_a_search_needs_the_permission_to_view():
    assert signed_in(StaffFactory()).post(LIST, {"q": "alice"}, follow=True).status_code == 403


def test_the_search_form_is_guarded_against_other_sites(client):
    client.handler.enforce_csrf_checks = True

    assert client.post(LIST, {"q": "alice"}).status_code == 403


# --- Entering and changing ------------------------------------------------------------------------------


def test_a_person_created_here_can_sign_in(client):
    answer = client.post(
        reverse("admin:accounts_user_add"),
        {"email": "new@example.com", "full_name": "New", "usable_password": "true",
         "password1": "a-long-enough-word", "password2": "a-long-enough-word"},
    )  # fmt: skip

    made = User.objects.get(email="new@example.com")
    assert answer.url == page_of("accounts_user", made.pk)
    assert (made.is_staff, made.is_superuser, made.is_active) == (False, False, True)
    assert check_credentials(email="NEW@example.com", password="a-long-enough-word", address=None, now=NOW) == made


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"email": "ALICE@example.com"}, "__all__"),
        ({"email": "alice@example.com"}, "email"),
        ({"email": "x"}, "email"),
        ({"email": "a\0@example.com"}, "email"),
        ({"password2": "another-long-word"}, "password2"),
        ({"password1": "short", "password2": "short"}, "password2"),
        ({"password1": "x" * 129, "password2": "x" * 129}, "password1"),
    ],
)
def test_an_invalid_value_of_a_new_person_is_an_error_of_its_field(client, changed, field):
    UserFactory(email="alice@example.com")
    words = {"password1": "a-long-enough-word", "password2": "a-long-enough-word", "usable_password": "true"}

    answer = client.post(reverse("admin:accounts_user_add"), {"email": "new@example.com", **words, **changed})

    assert answer.status_code == 200
    assert field in answer.context["adminform"].form.errors
    assert User.objects.filter(is_staff=False).count() == 1


def test_a_new_person_gets_no_rights_by_a_crafted_form(client):
    client.post(
        reverse("admin:accounts_user_add"),
        {"email": "new@example.com", "usable_password": "false", "is_staff": "on", "is_superuser": "on"},
    )

    made = User.objects.get(email="new@example.com")
    assert (made.is_staff, made.is_superuser) == (False, False)


def test_a_customer_is_renamed_and_deactivated_with_a_line_in_the_staff_log(client):
    alice = UserFactory(email="alice@example.com")

    client.post(page_of("accounts_user", alice.pk), person_form(alice, full_name="Alice L.", is_active=""))

    alice.refresh_from_db()
    assert (alice.full_name, alice.is_active) == ("Alice L.", False)
    assert LogEntry.objects.get().get_change_message() == "Changed Full name and Is active."


def test_an_account_gets_a_rate_of_its_own(client):
    alice = UserFactory(email="alice@example.com")

    refused = client.post(page_of("accounts_user", alice.pk), person_form(alice, rate_limit_per_minute="0"))
    client.post(page_of("accounts_user", alice.pk), person_form(alice, rate_limit_per_minute="250"))

    alice.refresh_from_db()
    assert list(refused.context["adminform"].form.errors) == ["rate_limit_per_minute"]
    assert alice.rate_limit_per_minute == 250
    assert LogEntry.objects.get().get_change_message() == "Changed Rate limit per minute."


def test_saving_a_person_writes_back_nothing_that_was_not_changed(client, monkeypatch):
    alice = UserFactory(email="alice@example.com")
    load = User.from_db.__func__

    def load_then_change_the_password(cls, *args):
        person = load(cls, *args)
        if person.email == "alice@example.com":
            User.objects.filter(pk=person.pk).update(password="changed meanwhile")
        return person

    monkeypatch.setattr(User, "from_db", classmethod(load_then_change_the_password))
    client.post(page_of("accounts_user", alice.pk), person_form(alice, full_name="Alice L."))
    monkeypatch.undo()

    alice.refresh_from_db()
    assert (alice.full_name, alice.password) == ("Alice L.", "changed meanwhile")


def test_a_password_is_set_on_a_page_of_its_own(client):
    alice = UserFactory(email="alice@example.com")

    answer = client.post(
        reverse("admin:auth_user_password_change", args=[alice.pk]),
        {"usable_password": "true", "set-password": "1", "password1": "a-longer-word", "password2": "a-longer-word"},
    )

    alice.refresh_from_db()
    assert answer.status_code == 302
    assert alice.check_password("a-longer-word")


# --- Rights ---------------------------------------------------------------------------------------------


def test_staff_who_may_change_people_cannot_grant_rights(client):
    alice = UserFactory(email="alice@example.com")
    role = Group.objects.create(name="Finance")
    crafted = person_form(
        alice, full_name="Changed", is_staff="on", is_superuser="on", groups=[str(role.pk)],
        user_permissions=[str(Permission.objects.first().pk)], password="x", id="1",
    )  # fmt: skip

    answer = client.post(page_of("accounts_user", alice.pk), crafted)

    alice.refresh_from_db()
    assert answer.status_code == 302
    assert alice.full_name == "Changed"
    assert (alice.is_staff, alice.is_superuser) == (False, False)
    assert not alice.groups.exists()
    assert not alice.user_permissions.exists()
    assert alice.check_password(PASSWORD)


@pytest.mark.parametrize("whom", [StaffFactory, superuser, None])
def test_accounts_of_staff_are_changed_by_superusers_only(whom):
    staff = staff_with(*MANAGING)
    target = whom() if whom else staff
    client = signed_in(staff)
    password = reverse("admin:auth_user_password_change", args=[target.pk])
    before = User.objects.filter(pk=target.pk).values().get()

    codes = [
        client.post(page_of("accounts_user", target.pk), person_form(target, email="mine@example.com")).status_code,
        client.get(password).status_code,
        client.post(password, {"password1": "a-longer-word", "password2": "a-longer-word"}).status_code,
    ]

    assert codes == [403, 403, 403]
    assert client.get(page_of("accounts_user", target.pk)).status_code == 200
    after = User.objects.filter(pk=target.pk).values().get()
    assert {**after, "last_login": None} == {**before, "last_login": None}


def test_superusers_give_rights():
    alice = UserFactory(email="alice@example.com")
    role = Group.objects.create(name="Support")

    signed_in(superuser()).post(
        page_of("accounts_user", alice.pk), person_form(alice, is_staff="on", groups=[str(role.pk)])
    )

    alice.refresh_from_db()
    assert alice.is_staff
    assert list(alice.groups.all()) == [role]


def test_roles_are_made_and_changed_by_superusers_only():
    role = Group.objects.create(name="Support")
    client = signed_in(staff_with("auth.view_group", "auth.add_group", "auth.change_group", "auth.delete_group"))
    everything = [str(permission.pk) for permission in Permission.objects.all()]

    codes = [
        client.post(page_of("auth_group", role.pk), {"name": "Support", "permissions": everything}).status_code,
        client.post(reverse("admin:auth_group_add"), {"name": "Mine", "permissions": everything}).status_code,
        client.post(reverse("admin:auth_group_delete", args=[role.pk]), {"post": "yes"}).status_code,
    ]

    assert codes == [403, 403, 403]
    assert client.get(list_of("auth_group")).status_code == 200
    assert not role.permissions.exists()


@pytest.mark.parametrize("crafted", [{"post": "yes"}, {}])
def test_people_cannot_be_deleted_even_by_a_superuser(crafted):
    alice = UserFactory(email="alice@example.com")
    client = signed_in(superuser())
    bulk = {"action": "delete_selected", "_selected_action": [str(alice.pk)], **crafted}

    assert client.post(reverse("admin:accounts_user_delete", args=[alice.pk]), crafted).status_code == 403
    assert client.post(LIST, bulk).status_code == 403
    assert "Delete" not in client.get(page_of("accounts_user", alice.pk)).content.decode()
    assert User.objects.filter(pk=alice.pk).exists()


@pytest.mark.parametrize("lookup", ["password", "password__startswith", "groups__name", "api_keys__key_hash"])
def test_no_url_filters_by_hashes_or_other_tables(client, lookup):
    assert client.get(LIST, {lookup: "x"}).status_code in (302, 400)
