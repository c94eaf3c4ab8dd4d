"""Signing in: registration, passwords, sessions, known devices, and the price of guesses.

Above it stand views, the admin and its backend; below it the notices of accounts.
"""
