"""What accounts do: people, keys, signing in, notices and webhooks. Nothing here knows of money.

Above it stand views, the admin and commands of all apps; below it providers, selectors and models.
"""
