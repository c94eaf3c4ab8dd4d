"""Charges: one request priced, paid, logged and counted in a call, and given back by a refund.

Above it stand metered requests and views; below it counting and partitions, and the entries of the ledger.
"""
