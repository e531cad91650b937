"""Other people's files, read as data: checkpoints, reconstructions and images come out as tensors, or a BenchError does.

=================  ============================================================================
``tensors``        a file's tensors, whatever its format; nothing in a file is ever run
``checkpoints``    a state dict as weights and the architecture that they imply
``ordering``       in which order the layers of a state dict follow each other
``images``         images of a file or a folder, and their labels where it has any
``truth``          members and controls: drawn as a setting draws them, or the user's own
``candidates``     reconstructions as images in [0, 1], the mean added back where it was left out
``pictures``       contact sheets and strips of pairs, as PNG
=================  ============================================================================
"""
