"""Runs of reconciliation, and what they have found."""
