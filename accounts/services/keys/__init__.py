"""API keys: issued, recognised, limited, rotated and revoked, by staff and by customers themselves.

Above it stand authentication, views, the admin and commands; below it the notices of accounts.
"""
