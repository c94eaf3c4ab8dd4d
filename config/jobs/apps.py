"""procrastinate's tables for queued jobs, made by its own migrations, and the functions that workers may call."""

from __future__ import annotations

from typing import cast

from django.contrib import admin
from procrastinate.contrib.django.apps import ProcrastinateConfig

from config.backoffice.site import BackOfficeSite
from config.backoffice.to_do import register_to_dos


class JobsConfig(ProcrastinateConfig):
    """procrastinate's own app. Its functions run with the caller's rights, on tables that hold no credits."""

    verbose_name = "Jobs"
    # The functions that a worker calls; the application may not call the others.
    doors = (
        "procrastinate_defer_jobs_v1",
        "procrastinate_defer_periodic_job_v2",
        "procrastinate_fetch_job_v2",
        "procrastinate_finish_job_v1",
        "procrastinate_prune_stalled_workers_v1",
        "procrastinate_register_worker_v1",
        "procrastinate_unregister_worker_v1",
        "procrastinate_update_heartbeat_v1",
    )

    def ready(self) -> None:
        """Remove its pages from the back office: their buttons would act on jobs, which no role here may."""
        super().ready()
        job = self.get_model("ProcrastinateJob")
        if admin.site.is_registered(job):
            admin.site.unregister(job)
        from config.jobs.to_do import TO_DOS, jobs_url  # noqa: PLC0415  models are there only now

        register_to_dos(*TO_DOS)
        cast(BackOfficeSite, admin.site).more_pages.append(jobs_url)
