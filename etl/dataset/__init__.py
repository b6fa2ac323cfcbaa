"""From raw files to a data set on disk: reading, labelling, splitting, describing."""
