"""How do other algorithms compute the same convolution, and what does each one cost?"""
