"""UMS: signed, versioned bundles, promoted through channels that Flux follows."""

__version__ = "0.1.0"
