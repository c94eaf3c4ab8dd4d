"""Subscriptions: plans with credits for each period, their renewals, and changes by staff.

Above it are auto-reload (for its months), the admin and `renew_subscriptions`; below it grants.
"""
