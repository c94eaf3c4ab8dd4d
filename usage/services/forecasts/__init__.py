"""Forecasts: how long a customer's credits last at the rate of their recent usage.

Above it stand alerts and views; below it the grants of the ledger, whose settlement is all that is written here.
"""
