"""What all methods share that build a comparison out of donors."""
