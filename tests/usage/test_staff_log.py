"""The staff log: who saw and changed what, when, from where, in which role; append-only for everybody."""

import csv
import io
from decimal import Decimal

import psycopg
import pytest
import time_machine
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group
from django.db import ProgrammingError, connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Plan
from config.backoffice.before_and_after import HIDDEN
from config.backoffice.history import about
from config.backoffice.model_admin import BackOfficeAdmin
from config.models import RecordKind, StaffRecord
from ledger.models import Entry
from tests.accounts.second_factors import app_of, code_of, give_code, give_password
from tests.backoffice import export_of, list_of, page_of, rows_of, settings_of, signed_in, staff_with, superuser
from tests.factories import ApiKeyFactory, PlanFactory, StaffFactory, UserFactory, customer_with

pytestmark = pytest.mark.django_db
ADJUSTING = ("ledger.adjust_credits", "accounts.view_user", "ledger.view_balance")
LOG = "config_staffrecord"
NEW_PASSWORD = "a long new password"


def in_role(name, *permissions):
    """Create a member of staff with these permissions and the role of this name."""
    staff = staff_with(*permissions)
    staff.groups.add(Group.objects.get_or_create(name=name)[0])
    return staff


def values_of(record):
    return {name: (before, after) for name, before, after in record.lines()}


def adjust(client, customer, amount="5"):
    """Adjust credits by the form, as its two steps do."""
    path = reverse("admin:accounts_user_adjust_credits", args=[customer.pk])
    form = client.get(path).context["form"]
    sent = {"form_key": form["form_key"].value(), "amount": amount, "reason": "goodwill", "note": "For the outage."}
    return client.post(path, {**sent, "step": "confirm"})


def test_a_plain_form_is_recorded_with_the_values_before_and_after():
    staff, alice = superuser(), UserFactory(full_name="Alice", rate_limit_per_minute=None)
    client = signed_in(staff)
    page = client.get(settings_of(alice)).context["adminform"].form
    fields = {name: page[name].value() or "" for name in page.fields if name not in ("password", "groups")}
    fields |= {"full_name": "Alice B.", "rate_limit_per_minute": "50", "is_active": ""}

    client.post(settings_of(alice), fields)

    record = StaffRecord.objects.get(kind=RecordKind.CHANGE)
    assert values_of(record) == {
        "Full name": ("Alice", "Alice B."),
        "Rate limit per minute": (None, "50"),
        "Is active": ("yes", "no"),
    }
    assert (record.user, record.customer_id, record.object_id) == (staff, alice.pk, str(alice.pk))
    assert record.message == "Changed Full name, Is active and Rate limit per minute."


def test_roles_of_a_person_are_recorded_by_name():
    client, clerk, support = signed_in(superuser()), StaffFactory(), Group.objects.create(name="support")
    page = client.get(settings_of(clerk)).context["adminform"].form
    fields = {name: page[name].value() or "" for name in page.fields if name not in ("password", "groups")}

    client.post(settings_of(clerk), {**fields, "groups": [support.pk]})

    assert values_of(StaffRecord.objects.get(kind=RecordKind.CHANGE)) == {"Groups": (None, "support")}


def test_permissions_of_a_role_are_recorded():
    client, role = signed_in(superuser()), Group.objects.create(name="support")

    client.post(page_of("auth_group", role.pk), {"name": "help", "permissions": []})

    assert values_of(StaffRecord.objects.get(kind=RecordKind.CHANGE)) == {"Name": ("support", "help")}


def test_a_password_is_recorded_without_its_value():
    client, alice = signed_in(superuser()), UserFactory()
    path = reverse("admin:auth_user_password_change", args=[alice.pk])

    client.post(path, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"})

    assert values_of(StaffRecord.objects.get(kind=RecordKind.CHANGE)) == {"Password": (HIDDEN, HIDDEN)}
    assert NEW_PASSWORD not in str(StaffRecord.objects.values())


def test_adding_and_deleting_are_recorded_with_the_values():
    client = signed_in(superuser())
    fields = {"code": "gold", "name": "Gold", "credits_per_period": "10.50", "is_active": "on"}

    client.post(reverse("admin:accounts_plan_add"), fields)
    plan = Plan.objects.get(code="gold")
    client.post(reverse("admin:accounts_plan_delete", args=[plan.pk]), {"post": "yes"})

    added, deleted = StaffRecord.objects.get(kind=RecordKind.ADD), StaffRecord.objects.get(kind=RecordKind.DELETE)
    assert values_of(added)["Credits per period"] == (None, "10.5")
    assert values_of(deleted)["code"] == ("gold", None)
    assert LogEntry.objects.get(pk=deleted.pk).is_deletion()


def test_an_action_is_recorded_with_its_figures_reason_role_address_and_request(settings):
    alice, clerk = customer_with(10), in_role("support", *ADJUSTING)

    path = reverse("admin:accounts_user_adjust_credits", args=[alice.pk])
    client = signed_in(clerk)
    key = client.get(path).context["form"]["form_key"].value()
    client.post(
        path,
        {"form_key": key, "amount": "5", "reason": "goodwill", "note": "For the outage.", "step": "confirm"},
        headers={"X-Request-Id": "ticket-4711"},
        REMOTE_ADDR="203.0.113.9",
    )

    record = StaffRecord.objects.filter(kind=RecordKind.ACTION, content_type__model="entry").get()
    figures = values_of(record)
    assert figures["Balance now"] == (None, "10")
    assert figures["Balance after"] == (None, "15")
    assert figures["Note"] == (None, "For the outage.")
    assert (record.roles, record.address, record.request_id) == ("support", "203.0.113.9", "ticket-4711")
    assert (record.user, record.customer_id) == (clerk, alice.pk)
    assert record.object_id == str(Entry.objects.latest("pk").pk)


def test_a_form_that_is_sent_twice_is_recorded_once():
    alice, client = customer_with(10), signed_in(superuser())
    path = reverse("admin:accounts_user_adjust_credits", args=[alice.pk])
    key = client.get(path).context["form"]["form_key"].value()
    sent = {"form_key": key, "amount": "5", "reason": "goodwill", "note": "Once.", "step": "confirm"}

    client.post(path, sent)
    before = StaffRecord.objects.count()
    client.post(path, sent)

    assert StaffRecord.objects.count() == before


def test_opening_a_customers_page_is_recorded_and_other_pages_are_not():
    alice, clerk = customer_with(10), in_role("support", "accounts.view_user", "ledger.view_entry")
    client = signed_in(clerk)

    client.get(page_of("accounts_user", alice.pk), headers={"X-Request-Id": "look-1"})
    client.get(page_of("ledger_entry", Entry.objects.get(user=alice).pk))
    client.get(list_of("accounts_user"))
    signed_in(staff_with()).get(page_of("accounts_user", alice.pk))

    (record,) = StaffRecord.objects.all()
    assert (record.kind, record.user, record.customer) == (RecordKind.VIEW, clerk, alice)
    assert (record.roles, record.address, record.request_id) == ("support", "127.0.0.1", "look-1")


def test_a_look_is_recorded_again_after_ten_minutes_and_for_each_customer_and_member_of_staff():
    alice, bob = customer_with(1), customer_with(1)
    first, second = signed_in(superuser()), signed_in(superuser())
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for client, customer in ((first, alice), (first, alice), (first, bob), (second, alice)):
            client.get(page_of("accounts_user", customer.pk))
        looks = StaffRecord.objects.count()
        clock.shift(601)
        first.get(page_of("accounts_user", alice.pk))

    assert (looks, StaffRecord.objects.count()) == (3, 4)


def test_an_export_is_recorded_with_its_filters():
    client = signed_in(superuser())
    alice = customer_with(1)

    b"".join(client.post(f"{export_of('ledger_entry')}?user={alice.pk}", {"format": "csv"}).streaming_content)

    record = StaffRecord.objects.get(kind=RecordKind.EXPORT)
    assert record.message == f"Exported 1 rows as CSV, narrowed by user={alice.pk}."


@pytest.mark.parametrize("model", ["accounts_apikey", "accounts_user"])
def test_a_whole_key_in_the_search_of_a_list_is_recorded_by_its_public_part(model):
    issued, client = ApiKeyFactory(), signed_in(superuser())

    client.post(list_of(model), {"q": issued.raw})

    (record,) = StaffRecord.objects.filter(kind=RecordKind.SEARCH)
    assert record.message == f"Searched by the API key tb_live_{issued.api_key.prefix}…; found 1."


def test_the_log_is_filtered_by_staff_kind_customer_object_and_found_by_email():
    alice, bob, clerk = customer_with(1), customer_with(2), staff_with("accounts.view_user")
    signed_in(clerk).get(page_of("accounts_user", alice.pk))
    reader = signed_in(superuser())
    reader.get(page_of("accounts_user", bob.pk))

    def customers(query):
        return {record.customer for record in rows_of(reader.get(f"{list_of(LOG)}?{query}"))}

    assert customers(f"staff={clerk.pk}") == {alice}
    assert customers(f"user={bob.pk}") == {bob}
    assert customers("kind=view") == {alice, bob}
    assert customers("kind=changes") == set()
    assert customers(f"about={about(alice)}") == {alice}
    assert customers("about=nothing:1") == customers("about=x") == customers("about=accounts.user:x") == set()
    assert customers(f"q={clerk.email}") == customers(f"q={alice.email}") == {alice}
    assert customers("action_time__year=1999") == set()


def test_the_log_is_exported_with_names_and_details():
    alice, client = customer_with(10, full_name="Alice"), signed_in(superuser())
    adjust(client, alice)

    answer = client.post(f"{export_of(LOG)}?user={alice.pk}", {"format": "csv"})

    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode(), newline="")))
    assert {row["customer"] for row in rows} == {alice.email}
    assert {row["roles"] for row in rows} == {"superuser"}
    assert "For the outage." in rows[0]["details"]


def test_the_history_of_an_object_shows_values_to_readers_of_the_log_only():
    alice = customer_with(10)
    adjust(signed_in(superuser()), alice, "7.25")
    history = reverse("admin:accounts_user_history", args=[alice.pk])

    of_support = signed_in(staff_with("accounts.view_user")).get(history).content.decode()
    of_auditor = signed_in(staff_with("accounts.view_user", "config.view_staffrecord")).get(history).content.decode()

    assert "Adjusted credits" in of_support
    assert "7.25" not in of_support
    assert "+7.25" in of_auditor
    assert f"{list_of(LOG)}?about=accounts.user%3A{alice.pk}" in of_auditor
    assert signed_in(staff_with()).get(history).status_code == 403
    assert signed_in(superuser()).get(reverse("admin:accounts_user_history", args=["x"])).status_code == 302


def test_the_history_of_an_object_goes_on_page_by_page():
    alice, client = customer_with(10), signed_in(superuser())
    LogEntry.objects.log_actions(alice.pk, [alice] * 60, CHANGE, "Seen.")
    history = reverse("admin:accounts_user_history", args=[alice.pk])

    first, second = client.get(history), client.get(f"{history}?p=2")

    assert (len(first.context["records"]), len(second.context["records"])) == (50, 10)
    assert 'href="?p=2"' in first.content.decode()
    assert "Older" not in second.content.decode()
    for odd in ("0", "x", "99999999999999999999999", "%00", "-1"):
        assert client.get(f"{history}?p={odd}").status_code == 200


def test_the_customers_page_links_to_the_log_about_the_customer():
    alice = customer_with(10)

    page = signed_in(superuser()).get(page_of("accounts_user", alice.pk)).content.decode()

    assert f"{list_of(LOG)}?user={alice.pk}" in page


def test_the_page_of_a_record_shows_before_and_after_escaped():
    client, plan = signed_in(superuser()), PlanFactory(name="<b>Old</b>")
    fields = {"code": plan.code, "name": "<i>New</i>", "credits_per_period": str(plan.credits_per_period)}
    client.post(page_of("accounts_plan", plan.pk), {**fields, "is_active": "on"})

    page = client.get(page_of(LOG, StaffRecord.objects.get(kind=RecordKind.CHANGE).pk)).content.decode()

    assert "&lt;b&gt;Old&lt;/b&gt;" in page
    assert "<i>New</i>" not in page


def test_every_page_of_the_back_office_writes_the_log_in_one_way():
    others = [model for model, pages in admin.site._registry.items() if not isinstance(pages, BackOfficeAdmin)]

    assert others == []


@pytest.mark.parametrize(
    "statement", ["UPDATE django_admin_log SET roles = ''", "DELETE FROM django_admin_log", "TRUNCATE django_admin_log"]
)
class TestAppendOnly:
    def test_the_application_may_not_change_a_record(self, statement):
        with pytest.raises(ProgrammingError, match="permission denied"), connection.cursor() as cursor:
            cursor.execute(statement)

    def test_not_even_the_owner_of_the_tables_changes_a_record(self, owner, statement):
        with pytest.raises(psycopg.errors.RestrictViolation, match="never altered or removed"):
            owner.execute(statement)


def test_a_superuser_neither_adds_nor_changes_nor_deletes_a_record():
    client, alice = signed_in(superuser()), customer_with(Decimal(1))
    client.get(page_of("accounts_user", alice.pk))
    record = StaffRecord.objects.get()

    assert client.post(reverse(f"admin:{LOG}_add"), {"change_message": "x"}).status_code == 403
    assert client.post(page_of(LOG, record.pk), {"change_message": "x"}).status_code == 403
    assert client.post(reverse(f"admin:{LOG}_delete", args=[record.pk]), {"post": "yes"}).status_code == 403
    assert StaffRecord.objects.get(pk=record.pk).change_message == record.change_message


def test_sign_ins_of_staff_are_recorded_with_what_they_gave_and_those_of_others_are_not():
    clerk, other = in_role("support"), UserFactory()
    app = app_of(clerk)
    client = Client(REMOTE_ADDR="198.51.100.7")

    give_password(client, clerk)
    assert not StaffRecord.objects.filter(kind=RecordKind.SIGN_IN).exists()
    give_code(client, code_of(app))
    give_password(Client(), other)
    give_password(Client(), StaffFactory(), password="wrong")

    (record,) = StaffRecord.objects.filter(kind=RecordKind.SIGN_IN)
    assert record.message == "Signed in by password, second factor."
    assert (record.user, record.roles, record.address) == (clerk, "support", "198.51.100.7")
