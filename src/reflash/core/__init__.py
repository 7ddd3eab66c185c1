"""What everything stands on: errors, files, keyed randomness, settings, devices, progress."""
