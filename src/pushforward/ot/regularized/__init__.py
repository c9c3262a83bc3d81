"""Quadratic and cardinality penalties: plans with few entries by smooth duals."""
