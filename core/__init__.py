"""What every stage shares: settings, errors, schema, files, devices, logging and progress."""
