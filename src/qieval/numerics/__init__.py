"""Kernels: arrays in, small frozen objects out. Nothing here imports pandas or the rest of qieval."""
