"""Objectives of flow maps: the regression, what it regresses on, the times between which it jumps."""
