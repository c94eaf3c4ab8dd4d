"""Findings of reconciliation as cases: noted by runs, closed by staff."""
