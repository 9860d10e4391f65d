"""MLflow: runs for what was done, a registry for what was published. A sqlite store unless a server is named."""
