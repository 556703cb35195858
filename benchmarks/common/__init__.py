"""What benchmarks share: subjects in processes of their own taken in turn, results that are never lost, tables for the README."""
