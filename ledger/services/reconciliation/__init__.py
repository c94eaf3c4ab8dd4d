"""Reconciliation: what a check is, the checks of entries, holds and grants, and signed anchors.

Above it are the checks of payments, auto-reload, subscriptions and usage; below it models alone.
"""
