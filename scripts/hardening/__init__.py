"""What `scripts/torture` does, one file a section."""
