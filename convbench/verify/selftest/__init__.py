"""Does the verifier find planted faults, and pass right kernels?"""
