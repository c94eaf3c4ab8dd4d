#!/usr/bin/env python
"""Every command of Tollbook. With no environment at all it serves the demo installation."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("TOLLBOOK_ENV", "development")
    from django.core.management import execute_from_command_line  # noqa: PLC0415  settings are named first

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
