"""Webhooks to customers: their endpoints, and the deliveries of notices to them.

Above it stand views and `deliver_webhooks`; below it notices, which write the deliveries that are made here.
"""
