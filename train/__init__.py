"""Training: batches from Parquet, models, optimizers, losses, metrics, trainer and checkpoints."""
