"""What somebody else made, judged like ours: reconstructions are scored, checkpoints are attacked, beside the same controls.

===================  ============================================================================
``asked``            what the command line named: a setting of a data set, or the user's own images
``scoring``          reconstructions against members and controls: every protocol, one judgement
``exchange``         how often chance alone would find as much
``subject``          a network as a release, with what is known of it at its members
``tried``            which of the readings that fit is the right one
``preprocessing``    what the network does to an image first
``premises``         whether what attacks rest on holds in it
``audit``            which attacks apply, what they find
``work``             what they cost, so that an audit ends
``positive``         a network of the same form that gives its images away
``verdict``          what that comes to: leaks, no leak found or inconclusive
``report``           what was found, all of it
``python``           ``reconbench.audit`` of a module and tensors
``page``             tables for the terminal, a Markdown page with pictures, JSON
``document``         one HTML file for people
``legends``          what each number means, what is good and bad
``advice``           what to do about a verdict
``helped``           which defences would have helped, from the published grid
``stages``           how long an audit will take
``example``          the README's picture: a network of plain PyTorch, audited
===================  ============================================================================
"""
