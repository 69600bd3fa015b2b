"""An index past one machine: shards that Ray builds and serves, or a collection that Qdrant has."""
