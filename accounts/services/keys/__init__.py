"""API keys: issued, authenticated, limited, rotated and revoked, by staff and by customers.

Imported by authentication, views, the admin and commands; imports the notices of accounts.
"""
