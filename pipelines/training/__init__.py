"""The glue to `transformers.Trainer`: targets that carry what is unknown, batches by length, exact resume, progress."""
