"""Alerts: what customers want to be told of, and telling them once when it happens.

Above it stand views and `send_alerts`; below it forecasts, and the thresholds and grants of the ledger.
"""
