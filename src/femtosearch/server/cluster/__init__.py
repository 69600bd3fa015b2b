"""Indexes larger than one machine: shards that Ray builds and serves, or a collection in Qdrant."""
