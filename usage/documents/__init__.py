"""Documents that people keep: statements as CSV and PDF."""
