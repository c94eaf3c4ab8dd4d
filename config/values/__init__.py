"""The values of the contract: credits, money, times, text, JSON, paths and cursors, as callers write and read them.

Every other module may import it; it imports nothing of the project.
"""
