"""What pages are made of: lines of a table, text, labels, drawing, correlations. It knows no track; tracks make their pages of it."""
