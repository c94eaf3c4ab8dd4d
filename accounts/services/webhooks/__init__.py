"""Webhooks to customers: endpoints, and deliveries of notices to them.

Imported by views and `deliver_webhooks`; imports notices, which write the deliveries that are sent here.
"""
