"""What owners share who rehearse theft before it happens."""
