"""The shared engine of the KKT attacks: images and multipliers at which the released weights are a stationary point.

``objective``  the equations of the papers, in closed form for MLPs and through autograd for any other network
``surrogate``  ReLU forward, smoothed slope backward
``subspace``   the row space of the first layer, in which the inputs are sought
``gradient``   the gradient of the equations, written out
``shallow``    the same for one hidden layer and one output, in a third of the passes
``change``     what training has added to the weights, for attacks that explain that
``mask``       weights on the residual: which parameters an attack listens to
``box``        the prior on pixels in a row space, looked at only where it can matter
``optimizers`` what steps the candidates: the papers' SGD, or Adam
``loop``       a Python loop, or a captured CUDA graph
``engine``     many runs of one shape, stacked and stepped together
"""
