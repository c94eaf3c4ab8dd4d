"""The demo company: people, prices, payments and three months of requests, created through services only.

Above it stands `seed_demo`; below it the services of all three apps. Nothing else imports it.
"""
