"""Roles of staff: what each may do, and the groups that carry them.

`table.py` says it, `setting_up.py` brings the groups of the database in line with it.
"""
