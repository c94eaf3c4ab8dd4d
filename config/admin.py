"""The back office as a whole: its name, and the log of staff actions."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.backoffice.read_only import ReadOnlyAdmin

admin.site.site_header = "Tollbook back office"
admin.site.site_title = "Tollbook"
admin.site.index_title = "Back office"
admin.site.empty_value_display = "–"


@admin.register(LogEntry)
class LogEntryAdmin(ReadOnlyAdmin):
    """The log of staff actions: who did what, when, to which object."""

    list_display = ("action_time", "user", "subject", "get_change_message", "action_flag", "content_type")
    list_display_links = ("action_time",)
    list_select_related = ("user", "content_type")
    list_filter = ("action_flag",)
    search_fields = ("object_id__exact", "user__email__iexact")
    search_help_text = "The id of the object, or the email of the member of staff."
    ordering = ("-action_time", "-id")
    fields = ("action_time", "user", "action_flag", "content_type", "subject", "get_change_message")

    @admin.display(description="object")
    def subject(self, action: LogEntry) -> str | SafeString:
        url = action.get_admin_url()
        return format_html('<a href="{}">{}</a>', url, action.object_repr) if url else action.object_repr
