"""What a training writes down for people to watch, beside its result."""
