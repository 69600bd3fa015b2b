"""Indexes over HTTP and MCP, served and called. What needs an extra is imported when it is used."""
