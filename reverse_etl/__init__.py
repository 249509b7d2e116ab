"""Keep an audience in a marketing tool equal to a query in your warehouse."""
