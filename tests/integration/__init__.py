"""Tests that talk to real programs: registries, Git, cosign, Helm."""
