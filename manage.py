#!/usr/bin/env python
"""Run a command of Tollbook. Without any settings it uses the demo installation."""

import os
import sys

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("TOLLBOOK_ENV", "development")
    try:
        _ = settings.DEBUG  # the first access reads all settings and the environment
    except ImproperlyConfigured as refusal:
        sys.exit(f"Tollbook cannot start: {refusal}")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
