"""Delivery: batches, pacing, retries, HTTP, and the loop that drives connector conversations."""
