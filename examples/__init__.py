"""Bundles shaped like a data plane's, and the demonstration that publishes them."""
