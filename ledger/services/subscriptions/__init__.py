"""Subscriptions: plans that bring credits with each period, their renewals, and changes by staff.

Above it stand auto-reload (for its months), the admin and `renew_subscriptions`; below it grants.
"""
