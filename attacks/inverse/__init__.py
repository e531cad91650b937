"""The missing image as the solution of "training with it gives these weights": shared by attacks of the informed adversary.

``subspace``   the span of the known images, and the one direction that the missing image has outside it
``equations``  released weights, trial trainings and their derivatives as rows of the same numbers, as sums of images
``robust``     a Gauss–Newton step that lets some of the equations be wrong: those that a kink of ReLU has broken
``newton``     steps from a start until the equations hold
``labels``     the labels that the missing image may have, read off the weights
``starts``     where to start: the kernel's answer, the best of the public images
"""

from __future__ import annotations

from attacks.inverse.equations import Equations
from attacks.inverse.labels import read_labels
from attacks.inverse.newton import NEAR, SOLVED, Solution, solve
from attacks.inverse.starts import guesses
from attacks.inverse.subspace import Subspace

__all__ = ["NEAR", "SOLVED", "Equations", "Solution", "Subspace", "guesses", "read_labels", "solve"]
