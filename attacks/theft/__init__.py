"""What thieves share: which images they ask about, what they learn from, and how copies of one shape are trained in one stack."""
