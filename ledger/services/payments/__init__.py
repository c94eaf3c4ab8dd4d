"""Payments: top-ups, saved cards, providers' webhooks, and what refunds and disputes take back.

Above it are auto-reload and adjustments; below it the agreement on auto-reload, then controls and entries.
"""
