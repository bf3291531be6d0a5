"""A fleet with faults and people in it, replayable by seed: after each step the invariants of the design."""
