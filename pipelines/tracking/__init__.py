"""MLflow: runs for what was done, a registry for what was published. A sqlite store in the output folder unless a server is named."""
