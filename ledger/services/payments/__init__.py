"""Payments: top-ups, saved cards, providers' webhooks, and what refunds and disputes take back.

Above it stand auto-reload and adjustments; below it the agreement on auto-reload, then controls and entries.
"""
