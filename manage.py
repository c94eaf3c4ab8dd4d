#!/usr/bin/env python
"""Every command of Tollbook. With no environment at all it serves the demo installation."""

import os
import sys

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("TOLLBOOK_ENV", "development")
    try:
        _ = settings.DEBUG  # the first look reads them all, and with them the environment
    except ImproperlyConfigured as refusal:
        sys.exit(f"Tollbook cannot start: {refusal}")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
