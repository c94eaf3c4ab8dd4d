"""Auto-reload: its terms as customers set them, the purchases that follow, and its status.

Above it are views, the admin and `run_auto_reload`; below it payments and the agreement, neither of which calls it.
"""
