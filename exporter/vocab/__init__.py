"""Token maps of other engines (the target tokens that a drafter's head keeps): reading, checking and writing them."""
