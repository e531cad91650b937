"""From weights back to the image that made the difference: shared by the attacks of the informed adversary.

``study``    trains the shadows, and puts their weights and those under attack on one scale, fitted on the shadows alone
``rebuild``  fits a reconstructor from the shadows' weights to their images, and applies it to the networks under attack
``WeightReader``  the attack class with the hyperparameters of both

Balle, Cherubin and Hayes (2022) fit a neural network, ``network``. ``kernel`` is ours: kernel ridge regression on the same numbers, in
closed form. Both can be asked to look at some of the weights only.
"""

from __future__ import annotations

from attacks.reconstructor.kernel import Kernel, fit_kernel
from attacks.reconstructor.network import fit_network
from attacks.reconstructor.reader import WeightReader
from attacks.reconstructor.study import Study, rebuild, study

__all__ = ["Kernel", "Study", "WeightReader", "fit_kernel", "fit_network", "rebuild", "study"]
