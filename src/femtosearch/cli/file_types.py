"""The kinds of files that `--type` knows, by the names that ripgrep has for them."""

FILE_TYPES = {
    "c": "*.c *.h", "cpp": "*.cc *.cpp *.cxx *.h *.hpp", "css": "*.css *.scss", "go": "*.go",
    "html": "*.html *.htm", "java": "*.java", "js": "*.js *.mjs *.cjs *.jsx", "json": "*.json *.jsonl",
    "md": "*.md *.markdown",
    "py": "*.py *.pyi", "rs": "*.rs", "rust": "*.rs", "sh": "*.sh *.bash", "sql": "*.sql", "toml": "*.toml",
    "ts": "*.ts *.tsx", "txt": "*.txt *.text", "yaml": "*.yaml *.yml", "csv": "*.csv *.tsv",
    "ipynb": "*.ipynb",
}  # fmt: skip
