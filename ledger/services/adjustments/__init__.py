"""Adjustments: balances that staff change, at once within their limits, or when a second person agrees.

Above it are the back office and commands; below it payments, whose reversals are not adjustments of staff.
"""
