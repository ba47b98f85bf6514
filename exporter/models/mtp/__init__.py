"""Read the multi-token-prediction heads that targets' checkpoints carry."""
