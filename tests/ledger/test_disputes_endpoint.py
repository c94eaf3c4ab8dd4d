"""The Account API's disputes of debits."""

import datetime as dt

import pytest
import time_machine
from django.db import Error, transaction
from django.utils import timezone

from accounts.models import Notice
from ledger.dispute_errors import DisputeExists, TooManyDisputes
from ledger.models import DisputeMessage, EntryDispute
from ledger.services.disputes.opening import MOST_OPEN
from tests.account import client_of
from tests.accounts.races import at_once
from tests.factories import UserFactory, customer_with
from tests.ledger.disputing import a_dispute, debited, disputed

pytestmark = pytest.mark.django_db
PATH = "/auth/account/disputes"


def asked(debit_id: object, **more: object) -> dict:
    return {"entry_id": debit_id, "reason": "duplicate", "message": "Charged twice"} | more


def told(user) -> list[str]:
    return list(Notice.objects.of(user.pk).filter(type__startswith="dispute.").values_list("type", flat=True))


def test_a_debit_is_disputed_with_a_message_and_a_notice():
    user = UserFactory()
    entry_id = debited(user)

    answer = client_of(user).post(PATH, asked(entry_id), format="json")

    body = answer.json()
    assert answer.status_code == 201
    assert (body["entry_id"], body["reason"], body["state"]) == (entry_id, "duplicate", "open")
    assert (body["credits_returned"], body["closed_at"]) == (0, None)
    assert [(one["by"], one["text"]) for one in body["messages"]] == [("customer", "Charged twice")]
    assert set(body["messages"][0]) == {"by", "text", "at"}
    assert told(user) == ["dispute.opened"]
    assert client_of(user).get(f"{PATH}/{body['id']}").json() == body


def test_the_list_is_newest_first_filtered_by_state_and_a_file():
    user = UserFactory()
    first, second = a_dispute(user), a_dispute(user)
    client = client_of(user)
    client.post(f"{PATH}/{first.pk}/withdraw")

    listed = client.get(PATH).json()

    assert [one["id"] for one in listed["results"]] == [second.pk, first.pk]
    assert [one["id"] for one in client.get(PATH, {"state": "withdrawn"}).json()["results"]] == [first.pk]
    assert client.get(PATH, {"state": "lost"}).status_code == 400
    file = b"".join(client.get(PATH, {"format": "csv"}).streaming_content).decode().splitlines()
    assert file[0] == "id,created_at,entry_id,reason,state,credits_returned,closed_at"
    assert len(file) == 3


def test_an_entry_has_one_open_dispute():
    user = UserFactory()
    dispute = a_dispute(user)
    client = client_of(user)

    again = client.post(PATH, asked(dispute.entry_id), format="json")

    assert (again.status_code, again.json()["code"]) == (409, "dispute_exists")
    client.post(f"{PATH}/{dispute.pk}/withdraw")
    assert client.post(PATH, asked(dispute.entry_id), format="json").status_code == 201


def test_what_cannot_be_disputed_is_refused_with_a_code():
    user = UserFactory()
    debit = debited(user)
    credit = user.entries.get(type="credit")
    client = client_of(user)

    assert client.post(PATH, asked(credit.pk), format="json").json()["code"] == "entry_not_disputable"
    assert client.post(PATH, asked(debited(UserFactory())), format="json").status_code == 404
    with time_machine.travel(timezone.now() + dt.timedelta(days=90, minutes=1)):
        late = client_of(user).post(PATH, asked(debit), format="json")
    assert (late.status_code, late.json()["code"]) == (422, "dispute_too_late")
    for wrong in ({"reason": "anger"}, {"message": ""}, {"message": "x" * 2001}, {"entry_id": "1"}, {"entry_id": 0}):
        assert client.post(PATH, asked(debit, **wrong), format="json").status_code == 400, wrong


def test_at_most_twenty_disputes_are_open():
    user = UserFactory()
    for _ in range(MOST_OPEN):
        a_dispute(user)

    refused = client_of(user).post(PATH, asked(debited(user)), format="json")

    assert (refused.status_code, refused.json()["code"]) == (409, "dispute_limit_reached")


def test_a_key_opens_one_dispute_and_writes_one_message():
    user = UserFactory()
    entry_id = debited(user)
    client, named = client_of(user), {"HTTP_IDEMPOTENCY_KEY": "mine"}
    first = client.post(PATH, asked(entry_id), format="json", **named)

    again = client.post(PATH, asked(entry_id), format="json", **named)
    other = client.post(PATH, asked(entry_id, message="else"), format="json", **named)

    assert (again.status_code, again.json(), again["Idempotent-Replayed"]) == (201, first.json(), "true")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    path = f"{PATH}/{first.json()['id']}/messages"
    client.post(path, {"message": "More"}, format="json", **named)
    replay = client.post(path, {"message": "More"}, format="json", **named)
    assert (len(replay.json()["messages"]), replay["Idempotent-Replayed"]) == (2, "true")
    assert client.post(path, {"message": "Else"}, format="json", **named).json()["code"] == "idempotency_key_reused"


def test_a_closed_dispute_takes_no_message_and_withdrawing_again_changes_nothing():
    user = UserFactory()
    dispute = a_dispute(user)
    client, path = client_of(user), f"{PATH}/{dispute.pk}"

    first, again = (client.post(f"{path}/withdraw") for _ in range(2))
    written = client.post(f"{path}/messages", {"message": "Wait"}, format="json")

    assert (first.json()["state"], again.status_code, again.json()) == ("withdrawn", 200, first.json())
    assert (written.status_code, written.json()["code"]) == (409, "dispute_closed")
    assert told(user) == ["dispute.opened", "dispute.withdrawn"]


def test_a_dispute_is_its_customers_alone():
    dispute = a_dispute(UserFactory())
    stranger, path = client_of(UserFactory()), f"{PATH}/{dispute.pk}"

    assert stranger.get(path).status_code == 404
    assert stranger.post(f"{path}/messages", {"message": "Hm"}, format="json").status_code == 404
    assert stranger.post(f"{path}/withdraw").status_code == 404
    assert stranger.get(PATH).json()["results"] == []


@pytest.mark.parametrize(
    "change",
    [
        lambda dispute: EntryDispute.objects.filter(pk=dispute.pk).delete(),
        lambda dispute: EntryDispute.objects.filter(pk=dispute.pk).update(entry_id=1),
        lambda dispute: EntryDispute.objects.filter(pk=dispute.pk).update(reason="other"),
        lambda dispute: DisputeMessage.objects.filter(dispute=dispute).update(text="else"),
        lambda dispute: DisputeMessage.objects.filter(dispute=dispute).delete(),
    ],
)
def test_the_database_keeps_disputes_and_messages_as_they_are(change):
    dispute = a_dispute(UserFactory())

    with pytest.raises(Error), transaction.atomic():
        change(dispute)


@pytest.mark.django_db(transaction=True)
def test_sixteen_callers_open_no_more_than_twenty_disputes():
    user = customer_with(1)
    debits = [debited(user) for _ in range(MOST_OPEN - 5 + 16)]
    for entry_id in debits[: MOST_OPEN - 5]:
        disputed(user, entry_id)
    left = debits[MOST_OPEN - 5 :]

    opened = at_once(16, lambda: disputed(user, left.pop()))

    assert sum(isinstance(one, EntryDispute) for one in opened) == 5
    assert {type(one) for one in opened} == {EntryDispute, TooManyDisputes}
    assert EntryDispute.objects.of(user.pk).not_closed().count() == MOST_OPEN


@pytest.mark.django_db(transaction=True)
def test_an_entry_is_disputed_once_by_sixteen_callers():
    user = customer_with(1)
    entry_id = debited(user)

    opened = at_once(16, lambda: disputed(user, entry_id))

    assert sum(isinstance(one, EntryDispute) for one in opened) == 1
    assert {type(one) for one in opened} == {EntryDispute, DisputeExists}
