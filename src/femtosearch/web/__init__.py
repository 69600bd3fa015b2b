"""A search as a static site: the index, its model and the core as WebAssembly, in four files."""
