"""Alerts: the conditions that customers want to hear of, and one notice for each time they occur.

Above it stand views and `send_alerts`; below it forecasts, and the thresholds and grants of the ledger.
"""
