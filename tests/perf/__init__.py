"""How fast it is, beside the alternative: `python -m tests.perf` (or `make perf`) prints one table and writes results/perf.md.

Benchmarks, not tests: nothing here is collected by pytest. `--quick` runs everything at toy sizes in seconds.

the alternatives        ``authors`` the double-backward attack loop; ``pixel_gd`` plain gradient descent; ``skimage_loop`` SSIM pair by pair
what is timed           ``steps`` one attack step, ``compiled`` its gradient through PyTorch's compiler; ``recovery`` whole runs and sweeps;
                        ``subspaces`` where they search; ``initial`` with the initial weights; ``optimisers`` seconds to a score;
                        ``training`` and ``long_training`` targets; ``shadows`` of the informed track; ``scoring``; ``harness``
                        planning and reports; ``workers``; ``memory``; ``gpu``; ``span`` the attack without a
                        search; ``growth``
how                     ``clock`` interleaved samples; ``floor`` what the machine could do at best; ``line`` one line of the table;
                        ``problem`` networks to attack; ``machine`` where it ran; ``page`` the table, the page, the raw timings

A line compares two things only after checking that they compute the same; the check and its tolerance stand in the table.
"""
