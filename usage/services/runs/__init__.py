"""Whole runs of reconciliation, and those that staff ask for."""
