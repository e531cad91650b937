"""What somebody else made, judged like ours: reconstructions are scored, checkpoints are attacked, beside the same controls.

=============  ===============================================================================
``asked``      what the command line named: a setting of a data set, or the user's own images
``scoring``    reconstructions against members and controls: every protocol, one judgement
``audit``      a checkpoint as a release: which attacks apply, what they find
``verdict``    what that comes to: found, not found or inconclusive
``page``       tables for the terminal, a Markdown page with pictures, JSON
=============  ===============================================================================
"""
