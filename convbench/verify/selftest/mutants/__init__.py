"""Which bugs must a verifier find? Faults that people have made, each planted in a kernel that is right.

One file a kind: another sum (`structure`), bits lost (`precision`), a call that does what it must not (`behaviour`),
what is wrong for certain sizes and layouts alone (`places`), gradients and epilogues. How they are planted: `planting`.
"""

from convbench.verify.selftest.mutants.behaviour import BEHAVIOUR
from convbench.verify.selftest.mutants.epilogues import EPILOGUES
from convbench.verify.selftest.mutants.gradients import GRADIENTS
from convbench.verify.selftest.mutants.places import PLACES
from convbench.verify.selftest.mutants.precision import PRECISION
from convbench.verify.selftest.mutants.structure import STRUCTURE

# Those that show on almost any shape, and are tried on random ones; the others need a suite that meets their condition.
ANYWHERE = (*STRUCTURE, *PRECISION, *BEHAVIOUR)
BUGS = (*ANYWHERE, *PLACES, *GRADIENTS, *EPILOGUES)
