"""Transport from a distribution that can be sampled onto finitely many points."""
