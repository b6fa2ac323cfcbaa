"""Models: a plain dict from the kind in YAML to the settings that build the model."""
