"""Staff actions on accounts and keys, each carried out once for each form."""

from __future__ import annotations

from accounts.errors import AccountsRefusal
from config.backoffice.once_action import OnceAction
from config.backoffice.once_form import ReasonForm
from config.backoffice.staff_action import Target


class AccountsAction(OnceAction[Target]):
    """A confirmed action with a reason; the sentences of its refusals are those of this app."""

    refusal = AccountsRefusal
    form_class = ReasonForm
