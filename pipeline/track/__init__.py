"""Where a run is written down beside its directory: MLflow, when the config names one."""
