"""Disputes of entries: opened, talked about and closed, also by what a second person decides of their credits.

Above it are adjustments, which tell it of decisions, and `resolutions`, which asks for credits; below it entries.
"""
