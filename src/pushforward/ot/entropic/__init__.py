"""Entropic transport: soft transforms of the cost, the one loop over them, and the plan of the potentials."""
