"""What the ledger does: each service makes one change, or checks one promise, and the SQL in `ledger/sql` decides.

Above it stand views, the admin and commands of ledger and usage; below it providers, selectors and models.
"""
