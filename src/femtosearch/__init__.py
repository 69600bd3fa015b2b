"""Late-interaction search with a one-megabyte model."""
