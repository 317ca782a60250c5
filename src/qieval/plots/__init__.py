"""One file per picture. A plot takes what was computed and returns a plotnine object; it computes no
statistics."""
