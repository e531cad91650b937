"""First contact with a CUDA device: one command for a machine that has PyTorch for CUDA and nothing else, no network either.

``bundle``    here: wheels, data and weights into one folder, to be carried along (`make gpu-bundle`)
``__main__``  there: installs the wheels beside, and goes through the stages for so many minutes (`make gpu`)
``stages``    what is done, in which order, and what each may take of the time that is left
``selftest``  the attacks, the training and the scores on the device against those on the CPU
``merge``     here again: takes rows and pages into the results (`make gpu-merge`)
"""
