"""What a customer has agreed to about auto-reload: its lock, price, outcomes and notices, as payments need them.

Above it are payments and auto-reload, which call it and which it never calls; below it thresholds and receipts.
"""
