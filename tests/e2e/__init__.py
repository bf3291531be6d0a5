"""The whole path, on a real Kubernetes API and the real Flux controllers."""
