"""reconbench: what a trained neural network gives away about its training data.

The one line of flow::

    Setting → train → Target(Release, Secret) → Attack(Release) → images
            → score against members AND controls → rows (Parquet) → leaderboard

The rooms, in the order in which that line passes through them:

============== =========================================================================
``api``        the nouns: Setting, Release, Secret, Target, Attack, Defense, DataSource, Metric, Track, Section
``granted``    fields of a release that are there only where an access tier was granted
``registry``   finds attacks, defences, data sets, metrics, tracks, sections: folders, entry points, ``--plugin``
``seeds``      randomness by name, so that order never matters
``data``       one file a source; every set yields disjoint train, control and test splits
``targets``    how networks are trained to be attacked, many at once, and cached
``metrics``    SSIM, LPIPS, NCC, PSNR, MSE: one file a metric, with unit, range, direction; matching, intervals
``tracks``     what a kind of attack is after and gets to see, how its result becomes rows, and what a page says of it
``apart``      attacks in processes of their own, which are handed narrowed releases and nothing else
``grids``      YAML files that span settings, attacks and seeds
``engine``     plans the cells of a grid, runs them, loses nothing; ``engine.executors``: here, in workers, on Ray
``store``      the Parquet tables: schema, atomic append, merge, resume
``artefacts``  other people's checkpoints, reconstructions and images, read as data
``audit``      judges what others made: ``bench audit``, ``bench score --reconstructions``
``claims``     what papers claim: declared by attacks, tested on the rows
``report``     Markdown, pictures and the comparison with published numbers; ``report.kit`` is what tracks make pages of
``anatomy``    looks inside networks in training: what falls silent, what moves, what remembers
``ridge``      a noisy regression, its closed-form attack and theory: ``bench ridge``
``publishing`` rows into a results folder, its pages rendered, compared with what was there
``verify``     attacks on targets of a secret split, beside public ones: ``bench verify``
``check``      contract tests of plug-ins: ``bench check``
``cli``        the commands: one file a group; options, exit codes, the command that resumes
============== =========================================================================

Attacks live in ``attacks/``, defences in ``defenses/``; neither ever sees a Secret.
"""

__version__ = "0.1.0"
