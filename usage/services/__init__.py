"""The services of usage: charging, recording, alerts and forecasts, through its own SQL and the services of the ledger.

Above it stand views, the admin and commands; below it selectors and models, and all of the ledger.
"""
