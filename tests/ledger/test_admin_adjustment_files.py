"""Adjusting many customers by a file in the back office: upload, preview, confirmation."""

import uuid

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from ledger.models import AdjustmentRequest, Entry
from ledger.selectors import balance_of
from tests.backoffice import list_of, page_of, signed_in, staff_log_of, staff_with
from tests.factories import StaffFactory, customer_with
from tests.ledger.adjusting import HEADER, limited

pytestmark = pytest.mark.django_db
ADDRESS = "/admin/ledger/adjustmentrequest/upload/"


@pytest.fixture
def alice():
    return customer_with(100, email="alice@example.com")


@pytest.fixture
def clerk():
    return limited(staff_with("ledger.adjust_by_file", "ledger.view_adjustmentrequest"), single=50, daily=80)


def uploaded(*lines, header=HEADER, name="outage.csv"):
    text = header + "\n".join(lines)
    return SimpleUploadedFile(name, text if isinstance(text, bytes) else text.encode(), content_type="text/csv")


def sent(step, **changed):
    return {"note": "The outage of Monday", "form_key": uuid.uuid4(), "step": step} | changed


def confirmed(client, answer):
    """Confirm a preview as a browser does: by its hidden fields."""
    form = answer.context["form"]
    hidden = {name: form[name].value() or "" for name in ("note", "form_key", "text", "file_name")}
    return client.post(ADDRESS, {**hidden, "step": "confirm"}, follow=True)


def test_the_preview_shows_each_line_before_and_after(alice, clerk):
    answer = signed_in(clerk).post(ADDRESS, sent("preview", file=uploaded("alice@example.com,20,goodwill,Sorry,T-1")))

    (line,) = answer.context["lines"]
    assert (line.user, line.before, line.after) == (alice, 100, 120)
    assert answer.context["preview"] == [("Lines", "1"), ("Credits, without signs", "20")]
    assert "alice@example.com" in answer.content.decode()
    assert not AdjustmentRequest.objects.exists()


def test_confirming_posts_the_lines_and_its_page_says_so(alice, clerk):
    client = signed_in(clerk)
    preview = client.post(ADDRESS, sent("preview", file=uploaded('alice@example.com,20,goodwill,"Two\nlines",')))

    answer = confirmed(client, preview)

    request = AdjustmentRequest.objects.get()
    assert answer.redirect_chain == [(page_of("ledger_adjustmentrequest", request.pk), 302)]
    assert (request.file_name, request.note) == ("outage.csv", "The outage of Monday")
    assert balance_of(user_id=alice.pk).balance == 120
    assert Entry.objects.of(alice.pk).latest("seq").description == "Two\nlines"
    assert "Posted" in answer.content.decode()
    assert staff_log_of(request) == ["Sent 1 adjustments by a file."]


def test_a_double_click_posts_once(alice, clerk):
    client = signed_in(clerk)
    preview = client.post(ADDRESS, sent("preview", file=uploaded("alice@example.com,20,goodwill,x,")))

    confirmed(client, preview)
    again = confirmed(client, preview)

    assert "nothing was posted again" in again.content.decode()
    assert balance_of(user_id=alice.pk).balance == 120


def test_the_same_file_uploaded_again_adds_nothing(alice, clerk):
    client, line = signed_in(clerk), "alice@example.com,20,goodwill,x,"
    confirmed(client, client.post(ADDRESS, sent("preview", file=uploaded(line))))

    answer = client.post(ADDRESS, sent("preview", file=uploaded(line.replace("20", "20.00"))))

    said = answer.content.decode()
    assert "1 of 1 lines cannot be posted." in said
    assert "The same line was sent before" in said
    assert balance_of(user_id=alice.pk).balance == 120


@pytest.mark.parametrize("step", ["preview", "confirm"])
def test_lines_that_cannot_be_posted_are_shown_with_their_reason_and_stop_the_file(alice, clerk, step):
    file = uploaded("alice@example.com,20,goodwill,x,", "bob@example.com,0,goodwill,<script>,")

    answer = signed_in(clerk).post(ADDRESS, sent(step, file=file))

    said = answer.content.decode()
    assert "Nothing was posted. 1 of 2 lines cannot be posted." in said
    assert "Refused: Credits must not be 0." in said
    assert "<script>," not in said
    assert "preview" not in answer.context
    assert not AdjustmentRequest.objects.exists()


def test_above_the_limit_the_whole_file_waits(alice, clerk):
    client = signed_in(clerk)
    preview = client.post(ADDRESS, sent("preview", file=uploaded(
        "alice@example.com,26,goodwill,x,", "alice@example.com,-25,goodwill,y,",
    )))  # fmt: skip

    answer = confirmed(client, preview)

    assert preview.context["preview"][-1] == (
        "A second person has to agree", "it is above the author's limit of one adjustment.",
    )  # fmt: skip
    assert "has to be approved" in answer.content.decode()
    assert balance_of(user_id=alice.pk).balance == 100


def test_an_approved_file_is_posted_when_its_page_opens(alice, clerk):
    client = signed_in(clerk)
    confirmed(client, client.post(ADDRESS, sent("preview", file=uploaded("alice@example.com,60,goodwill,x,"))))
    request = AdjustmentRequest.objects.get()
    boss = staff_with("ledger.approve_adjustment", "ledger.view_adjustmentrequest")

    answer = signed_in(boss).post(
        reverse("admin:ledger_adjustmentrequest_approve", args=[request.pk]), sent("confirm"), follow=True
    )

    assert "is approved: its lines are posted one by one" in answer.content.decode()
    assert balance_of(user_id=alice.pk).balance == 160


def test_a_file_with_a_line_of_the_approvers_own_is_refused(alice, clerk):
    boss = staff_with("ledger.approve_adjustment", "ledger.view_adjustmentrequest")
    root = limited(StaffFactory(is_superuser=True), single=0, daily=0)
    client = signed_in(root)
    confirmed(client, client.post(ADDRESS, sent("preview", file=uploaded(f"{boss.pk},1,goodwill,x,"))))
    request = AdjustmentRequest.objects.get()

    answer = signed_in(boss).post(reverse("admin:ledger_adjustmentrequest_approve", args=[request.pk]), sent("confirm"))

    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (None, "Choose a file."),
        (SimpleUploadedFile("a.csv", b"\xff\xfe"), "not UTF-8"),
        (SimpleUploadedFile("a.csv", b"customer\0"), "NUL"),
        (SimpleUploadedFile("a.csv", b"x" * (1024 * 1024 + 1)), "larger than 1 MiB"),
        (SimpleUploadedFile("a.csv", b"PK\x03\x04 not a csv"), "The first line names the columns"),
    ],
)
def test_what_is_no_such_file_is_refused_with_a_sentence(clerk, file, sentence):
    answer = signed_in(clerk).post(ADDRESS, sent("preview", **({} if file is None else {"file": file})))

    assert answer.status_code == 200
    assert sentence in answer.content.decode()


@pytest.mark.parametrize("text", ["", "customer,amount,reason,note\nx\0y,1,goodwill,x"])
def test_a_damaged_hidden_text_posts_nothing(clerk, text):
    answer = signed_in(clerk).post(ADDRESS, sent("confirm", text=text, file_name="a.csv"))

    assert answer.status_code == 200
    assert not AdjustmentRequest.objects.exists()


def test_without_the_permission_the_page_is_refused_and_not_offered(alice):
    client = signed_in(staff_with("ledger.adjust_credits", "ledger.view_adjustmentrequest"))

    assert client.get(ADDRESS).status_code == 403
    assert client.post(ADDRESS, sent("confirm", text=f"{HEADER}{alice.pk},1,goodwill,x,")).status_code == 403
    assert ADDRESS not in client.get(list_of("ledger_adjustmentrequest")).content.decode()


def test_with_the_permission_the_list_offers_it(clerk):
    assert ADDRESS in signed_in(clerk).get(list_of("ledger_adjustmentrequest")).content.decode()
