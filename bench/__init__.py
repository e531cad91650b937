"""reconbench: what a trained neural network gives away about its training data.

The one line of flow::

    Setting → train → Target(Release, Secret) → Attack(Release) → images
            → score against members AND controls → rows (Parquet) → leaderboard

The rooms, in the order in which that line passes through them:

=============  =========================================================================
``api``        the nouns: Setting, Release, Secret, Target, Attack, Defense, DataSource, Metric, Track, Section
``registry``   finds attacks, defences, data sets, metrics, tracks, sections: folders, entry points, ``--plugin``
``seeds``      randomness by name, so that order never matters
``data``       one file a source; every set yields disjoint train, control and test splits
``targets``    the networks under attack, trained many at once and cached
``metrics``    SSIM, LPIPS, NCC, PSNR, MSE: one file a metric, with unit, range, direction; matching, intervals
``tracks``     what a kind of attack gets, how its result becomes rows, and what a page says of it
``grids``      YAML files that span settings, attacks and seeds
``engine``     plans the cells of a grid, runs them, loses nothing
``store``      the Parquet tables: schema, atomic append, merge, resume
``artefacts``  other people's checkpoints, reconstructions and images, read as data
``audit``      judges what others made: ``bench audit``, ``bench score --reconstructions``
``report``     Markdown, pictures and the comparison with published numbers; ``report.kit`` is what tracks make pages of
``anatomy``    looks inside networks in training: what falls silent, what moves, what remembers
=============  =========================================================================

Attacks live in ``attacks/``, defences in ``defenses/``; neither ever sees a Secret.
"""

__version__ = "0.1.0"
