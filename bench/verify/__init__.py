"""Attacks on targets that nobody could know beforehand, and how they compare with public ones: ``python -m bench verify``.

A published grid draws its members by public seeds, so that a clone reproduces it cell by cell; and so an attack that draws them again, or
that has the images by heart, wins. Here the same grid runs once more on ``blind:`` data sets (``bench.data.blind``). What an attack has on
the public targets, and not on these, it did not get from the network.

=============  =========================================================================================
``blinded``    a grid with each data set made blind
``folder``     the store of such a run, gone when it ends
``again``      the kept answers, scored by a fresh process that never loads the attack
``verdict``    public less blind: the interval, the margin, the word for it
``run``        one verification from the grid to its rows
``submitted``  a submission: whether code, rows and answers agree, and then such a run
=============  =========================================================================================
"""
