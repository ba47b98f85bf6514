"""What a device that was never measured probably takes: published speeds, the model fitted to them, its validation."""
