"""Exact transport: assignments, linear programs, one dimension; plans with few entries."""
