"""Words that every room shares: errors, units, number formats, sparsity patterns, located YAML, atomic writes.

Imports nothing of ours outside this package, so that every room may import it.
"""
