"""The glue to `transformers.Trainer`: targets that carry what is unknown, length-aware batches, exact resume, progress."""
