"""Attacks run apart from the secret: in processes that are handed narrowed releases over a socket, and nothing else.

=============  =========================================================================
``wire``       what goes over the socket; from an attack's process nothing is unpickled
``attempt``    one call of an attack, its answers checked; the same in either process
``described``  a plug-in's classes in plain words, and classes made of them that stand for these where the file is not imported
``child``      the process of attacks: ``python -m bench.apart.child``
``process``    such a process as its parent sees it
``room``       which attack runs in which process; answers checked again
``sandbox``    what the system can take from the process besides
=============  =========================================================================

A process is started by exec, in an empty folder, with hardly any environment: no data, no split, no store is in its memory or in its
reach by what it is told. The parent trains, keeps the secret, narrows the release, and scores. Parts of a release that are no plain data
(``bench.api.Part``: an oracle, a recipe, what keeps things in the store) stay with the parent, which answers for them by message, counts
and may refuse.

One process serves all attacks of this project; each plug-in file has its own. So what a plug-in does to its process at import (default
device or dtype, TF32, recursion limit, closed streams, patched modules) meets its own cells alone, and a process that ends is the fault of
the cell that ended it.
"""
