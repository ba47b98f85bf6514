"""Planning: predict every option's speed from replayed answers and pass times, and choose. No model is opened here."""
