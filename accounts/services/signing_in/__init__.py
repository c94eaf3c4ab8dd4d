"""Signing in: registration, passwords, sessions, known devices, and limits on guessing.

Imported by views, the admin and its backend; imports the notices of accounts.
"""
