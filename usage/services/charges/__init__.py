"""Charges: one request is priced, paid, logged and counted in a call; a refund returns its credits.

Above it stand metered requests and views; below it counting and partitions, and the entries of the ledger.
"""
