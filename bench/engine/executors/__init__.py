"""Where the batches of a plan run: in this process, in worker processes of this machine, or on a Ray cluster."""
