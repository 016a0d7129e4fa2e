"""What `docs/benchmarks/run` is made of: one file per subject, nothing but Python's standard library."""
