"""The shared engine of the KKT attacks: images and multipliers at which the released weights are a stationary point.

``objective``  the equations of the papers, in closed form for MLPs and through autograd for any other network
``surrogate``  ReLU forward, smoothed slope backward
``subspace``   the row space of the first layer, in which the inputs are sought
``engine``     many runs of one shape, stacked and stepped together
"""
