"""Looking after the data: profile, drift between splits, leaks."""
