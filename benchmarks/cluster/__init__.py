"""What benchmarks/many.py starts: an engine, several chat servers, and their load."""
