"""Cutting a drafter to a draft vocabulary: written once with a bundle, or again from one."""
