"""What was left of grants after any entry of the past is what was left then."""

import random
from decimal import Decimal

import pytest

from ledger.models import Balance, GrantDraw
from ledger.services.grants import settle_grants
from ledger.services.statements.grants_left import grants_left
from tests.factories import UserFactory
from tests.ledger.granting import end, granted, left
from tests.usage.metering import captured, charge, held, price, refund

pytestmark = pytest.mark.django_db(transaction=True)


class Both:
    """Two customers to whom the same happens; only the first has their grants settled after each step."""

    def __init__(self):
        self.people = UserFactory(), UserFactory()
        self.grants, self.charges = [], []

    def grant(self, credits, **terms):
        self.grants.append([granted(person, credits, **terms) for person in self.people])

    def charge(self, credits):
        self.charges.append([charge(person, credits=credits) for person in self.people])

    def refund(self, number):
        for each in self.charges.pop(number):
            refund(each.id)

    def end(self, number):
        settle_grants(user_id=self.people[1].pk)  # another expiry would change the order in which the past was spent
        for grant in self.grants[number]:
            end(grant)

    def capture(self, credits):
        for person in self.people:
            captured(held(person, credits=credits, endpoint=None).hold)

    def left_now(self):
        """Return what is left of the first customer's grants, by the number of the grant."""
        remaining = left(self.people[0])
        return self.numbered(0, {grant: credits for grant, credits in remaining.items() if credits})

    def left_then(self, person, seq):
        user = self.people[person]
        found = {grant.grant_id: grant.left for grant in grants_left(user_id=user.pk, seq=seq, most=1000)}
        return self.numbered(person, found)

    def numbered(self, person, credits_by_grant):
        numbers = {pair[person].pk: number for number, pair in enumerate(self.grants)}
        return {numbers[grant]: credits for grant, credits in credits_by_grant.items()}


def live(both, chance):
    """Let things happen at random; return what was left after each, by the place of the last entry."""
    then, ended = {}, set()
    for _ in range(28):
        match chance.choice(("charge", "charge", "charge", "charge", "grant", "refund", "end", "capture")):
            case "grant":
                days, priority = chance.choice((None, 5, 50)), chance.choice((10, 50, 90))
                both.grant(chance.randint(5, 30), days=days, priority=priority)
            case "refund" if both.charges:
                both.refund(chance.randrange(len(both.charges)))
            case "end" if set(range(1, len(both.grants))) - ended:
                number = chance.choice(sorted(set(range(1, len(both.grants))) - ended))
                ended.add(number)
                both.end(number)
            case "capture":
                both.capture(Decimal(2))
            case _:
                both.charge(Decimal(chance.randint(1, 3)))
        remaining = both.left_now()
        then[Balance.objects.get(pk=both.people[0].pk).seq] = remaining
        if sum(remaining.values()) < 8:
            both.grant(40)
            then[Balance.objects.get(pk=both.people[0].pk).seq] = both.left_now()
    return then


@pytest.mark.parametrize("seed", range(6))
def test_what_was_left_after_each_entry_is_found_again_later(seed):
    both, chance = Both(), random.Random(seed)
    price("search", 1)
    both.grant(30)

    then = live(both, chance)
    settle_grants(user_id=both.people[1].pk)

    assert {seq: both.left_then(0, seq) for seq in then} == then
    assert {seq: both.left_then(1, seq) for seq in then} == then


def test_a_run_of_debits_that_goes_on_after_the_place_counts_up_to_it():
    both = Both()
    both.grant(30)
    for _ in range(5):
        both.charge(Decimal(2))
    settle_grants(user_id=both.people[1].pk)
    (run,) = GrantDraw.objects.filter(user=both.people[1])
    assert (run.first_seq, run.last_seq) == (2, 6)

    assert [both.left_then(1, seq) for seq in range(1, 7)] == [{0: 30 - 2 * used} for used in range(6)]
