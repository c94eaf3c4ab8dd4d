"""What the ledger knows of how an entry came about.

Above it is `usage.services.explanations`, which adds the requests; below it the settlement of grants.
"""
