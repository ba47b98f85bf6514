"""The export room: find models, convert and trim them, plan for the device, write the bundle."""
