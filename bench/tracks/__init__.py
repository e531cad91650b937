"""What a kind of attack gets to see, and how its answer becomes rows: one module a track."""
