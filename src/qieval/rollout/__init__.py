"""Roll-outs: units that begin at different times, as arrays, and the effects that methods, checks and plots
share."""
