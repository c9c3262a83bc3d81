"""Side-by-side measurements against the bare minimum and against the peers of the field, each row a ratio taken in
one run.
"""
