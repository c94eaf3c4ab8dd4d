"""The embedded PostgreSQL: its programs, its processes and the cluster in the project's folder.

Above it stand the settings, the `postgres` command and the tests; it imports nothing of the project.
"""
