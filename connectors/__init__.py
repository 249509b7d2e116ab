"""Connectors that come with reverse-etl, one folder for each kind of destination."""
