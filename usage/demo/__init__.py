"""The demo company: people, prices, payments and three months of requests, made through services alone.

Above it stands `seed_demo`; below it the services of all three apps. Nothing else imports it.
"""
