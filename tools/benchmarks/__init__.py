"""What `tools/benchmark.py` measures, one section of tables a file."""
