"""Services of accounts: people, keys, signing in, notices and webhooks. None of them moves credits.

Imported by views, the admin and commands of all apps; imports providers, selectors and models.
"""
