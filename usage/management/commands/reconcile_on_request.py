"""`manage.py reconcile_on_request`: carry out the run of reconciliation that staff asked for in the back office."""

from __future__ import annotations

from typing import Any

from config.cli.command import OperatorCommand, Result, prints_result
from config.cli.run_lock import run_lock
from config.rounds import Round
from usage.services.runs.requests import carry_out, waiting_run


class Command(OperatorCommand):
    help = (
        "Carry out the full reconcile that staff asked for in the back office, if one waits. Exit 3 with findings, 0 "
        "if nothing waits. One whose job was killed is begun again, three times at most."
    )

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        customers = Round(say=self.say)
        with run_lock("reconcile_on_request"):
            request = waiting_run()
            run = None if request is None else carry_out(request, customers, say=self.say)
        data = {"carried_out": run is not None, "findings": 0 if run is None else run.findings}
        text = "No run waits." if run is None else f"Carried out the run of {run}."
        return Result(data, text=text, findings=data["findings"], failure=customers.failure)
