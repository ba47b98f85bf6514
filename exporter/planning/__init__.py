"""Planning: what a draft vocabulary accepts, what a pass costs, and the choice made from both."""
