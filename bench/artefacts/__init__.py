"""Other people's files, read as data: checkpoints, reconstructions and images come out as tensors, or a BenchError does.

=================  ============================================================================
``tensors``        a file's tensors, whatever its format; nothing in a file is ever run
``checkpoints``    a state dict as weights and the architecture that they imply
``ordering``       in which order the layers of a state dict follow each other
``normalisation``  which layer a batch normalisation belongs to
``chains``         padding, stride, pooling: every form of a chain of layers that fits its sizes
``reading``        a network as it was read: a pure function of weights and images
``factory``        the user's own class, with the weights of a file in it
``graph``          a network as a graph of known operators
``exported``       files of ``torch.export`` as such a graph
``onnx_file``      files of ONNX as such a graph
``images``         images of a file or a folder, and their labels where it has any
``truth``          members and controls: drawn as a setting draws them, or the user's own
``candidates``     reconstructions as images in [0, 1], the mean added back where it was left out
``pictures``       contact sheets and strips of pairs, as PNG
=================  ============================================================================
"""
