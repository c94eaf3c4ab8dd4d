"""The embedded PostgreSQL: its programs, its processes and the cluster in the project's folder.

Imported by the settings, the `postgres` command and the tests; imports nothing of the project.
"""
