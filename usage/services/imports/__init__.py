"""Imports: gateways' logs, read line by line in several formats and recorded once.

Above it stand `import_requests` and the demo; below it partitions.
"""
