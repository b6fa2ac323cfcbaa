"""`gyrfalcon tune`: the search for good settings, judged on the validation split alone."""
