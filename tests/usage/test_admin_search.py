"""The one search of the back office: by everything that support staff are given, straight to the thing."""

import datetime as dt
import uuid
from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from config.backoffice.search.finders import MOST_SHOWN
from ledger.models import AdjustmentReason, Entry, EntryReason, Hold, Payment
from ledger.providers.fake import APPROVE
from ledger.services.adjustments.requests import request_adjustment
from ledger.services.grants import grant_credits
from ledger.services.holds import open_hold
from ledger.services.payments.refunds import begin_refund, carry_out_refund
from tests.backoffice import page_of, signed_in, staff_with, superuser
from tests.factories import ApiKeyFactory, ServiceKeyFactory, UserFactory
from tests.ledger.disputing import a_dispute
from tests.ledger.paying import bought
from tests.module_data import as_owner, module_data
from usage.models import RequestLog
from usage.services.charges.calls import AskedCharge
from usage.services.charges.charge import charge_request
from usage.services.prices import set_price

pytestmark = pytest.mark.django_db
MOST_STATEMENTS = 15
REQUEST_ID = uuid.UUID("019ab000-0000-7000-8000-000000000001")


def everything_of_alice():
    """Make Alice, with one of everything that is searched for, and Bob, who has names of the same kinds."""
    set_price(endpoint="echo", credits=Decimal(2), effective_from=timezone.now() - dt.timedelta(days=1))
    for name in ("alice", "bob"):
        customer = UserFactory(email=f"{name}@example.com", full_name=f"{name.title()} van der Berg-{name}")
        grant_credits(
            user_id=customer.pk,
            amount=Decimal(100),
            reason=EntryReason.GRANT,
            reference=f"order/{name}",
            idempotency_key=f"grant-{name}",
        )
        open_hold(user_id=customer.pk, credits=Decimal(1), expires_in_seconds=60, idempotency_key=f"hold-{name}")
        charge_request(AskedCharge(user_id=customer.pk, endpoint="echo", idempotency_key=f"charge-{name}"))
        charge_request(
            AskedCharge(user_id=customer.pk, endpoint="echo", idempotency_key=f"other-{name}", reference=f"call-{name}")
        )
        bought(customer, APPROVE)
    return User.objects.get(email="alice@example.com").pk


@pytest.fixture(scope="module")
def shared_alice(django_db_setup, django_db_blocker):
    yield from module_data(django_db_blocker, everything_of_alice)


@pytest.fixture
def alice(shared_alice, db):
    return User.objects.get(pk=shared_alice)


@pytest.fixture
def client(alice):
    return signed_in(superuser())


def search(client, term):
    return client.post(reverse("admin:search"), {"term": term})


def kinds(answer):
    """Return the titles of what was found, by kind."""
    assert answer.status_code == 200, answer
    return {group.finder.kind: [hit.title for hit in group.hits] for group in answer.context["groups"]}


def test_an_email_leads_straight_to_the_customer(client, alice):
    assert search(client, " ALICE@example.com ").url == page_of("accounts_user", alice.pk)


@pytest.mark.parametrize("term", ["alice v", "ALICE VAN DER", "berg-alice", "alice@ex"])
def test_the_beginning_of_a_name_or_email_or_of_the_last_word_leads_to_the_customer(client, alice, term):
    assert search(client, term).url == page_of("accounts_user", alice.pk)


def test_names_are_found_by_their_indexes(db):
    with as_owner(), transaction.atomic():  # who may analyze: what is known of an empty table makes every index alike
        User.objects.bulk_create(User(email=f"person{number}@example.com", password="!") for number in range(500))
        with CaptureQueriesContext(connection) as statements:
            list(User.objects.get_queryset().beginning_with("ali", most=5))
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE accounts_user")
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")
            cursor.execute(f"EXPLAIN {statements[0]['sql']}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
        transaction.set_rollback(True)

    for index in ("users_by_start_of_email", "users_by_start_of_name", "users_by_last_word_of_name"):
        assert f"using {index}" in plan, plan


def test_signs_of_patterns_in_a_name_stand_for_themselves(client):
    assert kinds(search(client, "ali%")) == {}
    assert kinds(search(client, "al_ce")) == {}


def test_an_id_leads_to_a_short_list_by_kind_and_a_kind_before_it_straight_to_the_thing(client, alice):
    entry = Entry.objects.filter(user=alice, reason=EntryReason.USAGE).earliest("pk")

    found = kinds(search(client, str(entry.pk)))

    assert f"Entry {entry.pk}" in found["Entries"]
    assert found["Requests"] == [f"Request {entry.pk}"]
    assert search(client, f"entry {entry.pk}").url == page_of("ledger_entry", entry.pk)
    assert search(client, f"Request #{entry.pk}").url == page_of("usage_requestlog", entry.pk)
    assert search(client, f"customer {alice.pk}").url == page_of("accounts_user", alice.pk)


def test_a_reference_leads_to_its_entry(client, alice):
    entry = Entry.objects.get(reference="order/alice")

    assert search(client, "order/alice").url == page_of("ledger_entry", entry.pk)


def test_idempotency_keys_lead_to_what_was_made_under_them(client, alice):
    payment, hold = Payment.objects.get(user=alice), Hold.objects.get(user=alice)

    assert search(client, "grant-alice").url == page_of("ledger_entry", Entry.objects.get(reference="order/alice").pk)
    assert search(client, "charge-alice").url == page_of(
        "ledger_entry", Entry.objects.get(idempotency_key="charge-alice").pk
    )
    assert search(client, "hold-alice").url == page_of("ledger_hold", hold.pk)
    assert search(client, payment.idempotency_key).url == page_of("ledger_payment", payment.pk)


def test_a_payment_is_found_by_every_id_that_it_has(client, alice):
    payment = Payment.objects.get(user=alice)

    for term in (f"payment {payment.pk}", payment.provider_payment_id, str(payment.provider_key)):
        answer = search(client, term)
        assert page_of("ledger_payment", payment.pk) in (getattr(answer, "url", "") + answer.content.decode()), term


def test_a_request_is_found_by_its_request_id_and_reference(client, alice):
    log = RequestLog.objects.get(reference="call-alice")

    assert kinds(search(client, "call-alice"))["Requests"] == [f"Request {log.pk}"]
    assert search(client, f"alice@example.com {log.request_id}").url == page_of("usage_requestlog", log.pk)


def test_a_request_id_of_our_own_is_found_however_many_requests_came_after(client, alice, monkeypatch):
    monkeypatch.setattr("usage.admin.finders.LATEST", 0)
    log = RequestLog.objects.filter(user=alice).latest("pk")
    milliseconds = int(log.occurred_at.timestamp() * 1000)
    ours = uuid.UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62) | 5)
    charge_request(
        AskedCharge(user_id=alice.pk, endpoint="echo", idempotency_key="timed", request_id=ours, reference="timed")
    )

    assert search(client, f"request {ours}").url == page_of(
        "usage_requestlog", RequestLog.objects.get(request_id=ours).pk
    )


def test_an_adjustment_that_staff_asked_for_is_found_by_id_and_reference(client, alice):
    asked = request_adjustment(
        user_id=alice.pk,
        amount=Decimal(5),
        reason=AdjustmentReason.GOODWILL,
        note="For the outage.",
        reference="T-4711",
        actor_id=superuser().pk,
        idempotency_key="adjust-alice",
    ).request

    assert page_of("ledger_adjustmentrequest", asked.pk) in search(client, "T-4711").content.decode()
    assert search(client, f"adjustment {asked.pk}").url == page_of("ledger_adjustmentrequest", asked.pk)
    assert kinds(search(client, "bob@example.com T-4711")) == {}


def test_a_refund_by_staff_is_found_by_every_id_that_it_has(client, alice):
    now = timezone.now()
    begun = begin_refund(
        user_id=alice.pk,
        payment_id=Payment.objects.get(user=alice).pk,
        amount_minor=100,
        note="By mistake.",
        actor_id=superuser().pk,
        idempotency_key="refund-alice",
        now=now,
    )
    carry_out_refund(refund_id=begun.refund.pk, now=now)
    begun.refund.refresh_from_db()

    for term in (f"refund {begun.refund.pk}", begun.refund.provider_refund_id, str(begun.refund.provider_key)):
        assert search(client, term).url == page_of("ledger_staffrefund", begun.refund.pk), term


def test_a_dispute_is_found_by_its_id(client, alice):
    dispute = a_dispute(alice)

    assert search(client, f"dispute {dispute.pk}").url == page_of("ledger_entrydispute", dispute.pk)


def test_a_term_beside_an_email_is_searched_for_this_customer_alone(client, alice):
    assert kinds(search(client, "bob@example.com order/alice")) == {}
    entry = Entry.objects.get(reference="order/alice")
    assert search(client, "order/alice alice@example.com").url == page_of("ledger_entry", entry.pk)
    assert search(client, "alice@example.com grant-alice").url == page_of("ledger_entry", entry.pk)


def test_a_pasted_key_leads_to_the_key_and_stands_in_no_address_page_or_log(client, alice):
    issued = ApiKeyFactory(user=alice)

    answer = search(client, f" {issued.raw}\n")

    secret = issued.raw.rpartition("_")[2]
    assert answer.url == page_of("accounts_apikey", issued.api_key.pk)
    assert secret not in answer.url
    noted = LogEntry.objects.latest("pk")
    assert issued.api_key.prefix in noted.change_message
    assert secret not in str(LogEntry.objects.values())


def test_a_key_that_nobody_has_is_shown_by_its_public_part_and_recorded(client, alice):
    issued = ApiKeyFactory(user=alice)
    mistyped = f"{issued.raw[:-1]}~"

    answer = search(client, mistyped)

    page = answer.content.decode()
    assert kinds(answer) == {}
    assert issued.api_key.prefix in page
    assert issued.raw[25:-1] not in page
    assert "found 0" in LogEntry.objects.latest("pk").change_message


def test_a_prefix_leads_to_the_key_of_a_customer_or_service(client, alice):
    theirs, service = ApiKeyFactory(user=alice).api_key, ServiceKeyFactory().api_key

    assert search(client, theirs.prefix).url == page_of("accounts_apikey", theirs.pk)
    assert search(client, f"tb_live_{service.prefix}").url == page_of("accounts_apikey", service.pk)


def test_only_what_the_viewer_may_see_is_looked_for(alice):
    entry = Entry.objects.get(reference="order/alice")
    support, nobody = signed_in(staff_with("ledger.view_hold")), signed_in(staff_with())

    assert kinds(search(support, "order/alice")) == {}
    assert kinds(search(support, f"entry {entry.pk}")) == {}
    assert search(support, "hold-alice").status_code == 302
    assert kinds(search(nobody, "hold-alice")) == {}
    assert "nothing that you may search for" in search(nobody, "hold-alice").content.decode()


def test_a_key_is_claimed_as_a_secret_even_by_a_viewer_who_may_see_no_keys(alice):
    issued = ApiKeyFactory(user=alice)
    client = signed_in(staff_with("ledger.view_entry"))

    with CaptureQueriesContext(connection) as statements:
        page = search(client, issued.raw).content.decode()

    secret = issued.raw.rpartition("_")[2]
    assert secret not in page
    assert not [said for said in statements if secret in said["sql"]]


@pytest.mark.parametrize(
    ("term", "sentence"),
    [
        ("", "Write what to search for"),
        ("   ", "Write what to search for"),
        ("x" * 10_000, "at most 254 characters"),
        ("a\x00b", "must not contain NUL"),
        ("9" * 60, "Nothing was found"),
        ("-1", "Nothing was found"),
        ("９", "Nothing was found"),
        ("entry", "Nothing was found"),
        ("' OR 1=1 --", "Nothing was found"),
        ("<script>alert(1)</script>", "Nothing was found"),
        ("ffffffff-ffff-7fff-8fff-ffffffffffff", "Nothing was found"),
        ("00000000-0000-7000-8000-000000000000", "Nothing was found"),
        ("@", "Nothing was found"),
    ],
)
def test_any_text_gets_a_sensible_page(client, term, sentence):
    answer = search(client, term)
    page = answer.content.decode()

    assert answer.status_code == 200
    assert sentence in page
    assert "<script>alert" not in page


def test_a_search_without_a_term_and_a_lone_surrogate_are_refused_with_words(client):
    path = reverse("admin:search")

    assert "Write what to search for" in client.post(path).content.decode()
    answer = client.post(path, b"term=%ED%A0%80", content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 200


def test_a_long_list_says_that_there_is_more(client):
    for number in range(MOST_SHOWN + 2):
        UserFactory(full_name=f"Zelda {number}")

    answer = search(client, "zelda")

    assert len(kinds(answer)["Customers and staff"]) == MOST_SHOWN
    assert f"more than {MOST_SHOWN}" in answer.content.decode()


def test_the_search_is_a_post_with_a_token_and_its_page_is_not_cached(alice):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(superuser())
    path = reverse("admin:search")

    assert search(strict, "alice").status_code == 403
    page = strict.get(path)
    assert "no-store" in page.headers["Cache-Control"]
    assert signed_in(superuser()).put(path).status_code == 405


def test_a_term_in_the_address_is_not_searched_for(client):
    assert "groups" not in client.get(f"{reverse('admin:search')}?term=alice@example.com").context


def test_every_page_has_the_search_in_its_header_and_the_sign_in_page_has_not(client):
    for path in ("/admin/", "/admin/ledger/entry/", "/admin/accounts/plan/add/", "/admin/search/"):
        assert 'data-shortcut="/"' in client.get(path).content.decode(), path
    assert 'data-shortcut="/"' not in Client().get("/admin/login/").content.decode()


def test_people_without_staff_rights_are_asked_to_sign_in(alice):
    for user in (None, alice):
        assert search(signed_in(user), "alice@example.com").url.startswith("/admin/login/")


@pytest.mark.parametrize("term", ["order/alice", "1", "charge-alice", "alice", str(REQUEST_ID), "abcdefghijkl"])
def test_a_search_takes_few_statements(alice, term):
    client = signed_in(staff_with("accounts.view_user", "accounts.view_apikey", "ledger.view_entry",
                                  "ledger.view_hold", "ledger.view_payment", "ledger.view_staffrefund",
                                  "ledger.view_adjustmentrequest", "ledger.view_entrydispute",
                                  "usage.view_requestlog"))  # fmt: skip
    client.get(reverse("admin:password_change_done"))  # the first page notes when the session began

    with CaptureQueriesContext(connection) as statements:
        search(client, term)

    assert len(statements) <= MOST_STATEMENTS, [said["sql"] for said in statements]
