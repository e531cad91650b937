"""What the papers claim: declared by attacks before any row is looked at, and tested on the rows. The page of it is in ``bench/report``."""
