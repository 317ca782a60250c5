"""People around a cutoff and the fit at it: what estimates, checks and pictures of a discontinuity share.

`read` parses a frame, `local` fits lines on either side, `ways` say how sure the effect is.
"""
