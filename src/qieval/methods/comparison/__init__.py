"""What matching and weighting have in common: who is compared with whom, and the effect that follows."""
