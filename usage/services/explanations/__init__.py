"""Explanations of entries: the requests, price, grants and payments behind one, and a sentence that says why.

Above it are views and the back office; below it the ledger's own part, and the request log. Reads only, save that
grants are settled first.
"""
