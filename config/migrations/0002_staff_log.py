from django.db import migrations

_ADD = """
ALTER TABLE django_admin_log
    ADD COLUMN kind varchar(10) DEFAULT 'action' NOT NULL,
    ADD COLUMN customer_id bigint,
    ADD COLUMN details jsonb DEFAULT '[]' NOT NULL,
    ADD COLUMN roles varchar(200) DEFAULT '' NOT NULL,
    ADD COLUMN address inet,
    ADD COLUMN request_id varchar(128) DEFAULT '' NOT NULL;
UPDATE django_admin_log SET kind = CASE
    WHEN action_flag = 1 THEN 'add' WHEN action_flag = 3 THEN 'delete'
    WHEN change_message LIKE 'Exported %' THEN 'export' WHEN change_message LIKE '[{%' THEN 'change'
    WHEN change_message LIKE 'Searched by %' THEN 'search' ELSE 'action' END;
"""
_REMOVE = """
ALTER TABLE django_admin_log DROP COLUMN kind, DROP COLUMN customer_id, DROP COLUMN details, DROP COLUMN roles,
    DROP COLUMN address, DROP COLUMN request_id;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("config", "0001_initial"),
        ("admin", "0003_logentry_add_action_flag_choices"),
    ]
    operations = [migrations.RunSQL(sql=_ADD, reverse_sql=_REMOVE)]
