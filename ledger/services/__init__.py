"""The ledger's services: each makes one change or checks one rule, and the SQL in `ledger/sql` decides.

Above it are views, the admin and commands of ledger and usage; below it providers, selectors and models.
"""
