"""The spool: metered requests that wait on the local disk while the database is unavailable, and their replay.

Above it stand the metering of services and `replay_spool`; below it metered requests.
"""
