"""The pipeline: run settings, stages, runner, named data sets, report and command line."""
