"""What `bench` measures, one module a subject."""
