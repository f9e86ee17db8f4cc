"""How fast could this machine be? Ceilings by several probes, the best of each kept between runs."""
